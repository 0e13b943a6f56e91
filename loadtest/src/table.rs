//! Figures and the Markdown they are written as. Pure.

/// A table with a title and what was run to fill it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// What was measured and how, in a sentence or two.
    pub(crate) note: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(title: &str, note: &str, columns: &[&str]) -> Self {
        Self { title: title.into(), note: note.into(), columns: columns.iter().map(|&c| c.into()).collect(), rows: Vec::new() }
    }

    /// Appends a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|{}\n", "---|".repeat(self.columns.len()));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("## {}\n{}\n\n{}{rule}{rows}", self.title, self.note, line(&self.columns))
    }
}

/// The middle value; the mean of the two middle ones where their number is even. Not a number for no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The middle of how many times its counterpart each value is.
pub(crate) fn median_ratio(values: &[f64], counterparts: &[f64]) -> f64 {
    median(&values.iter().zip(counterparts).map(|(value, counterpart)| value / counterpart).collect::<Vec<_>>())
}

/// The value below which this share (0 to 1) of the values lies, interpolated.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into a short list")]
    let (position, below) = {
        let position = share * last as f64;
        (position - position.floor(), position as usize)
    };
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    low + (high - low) * position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!((quantile(&[0.0, 10.0], 0.99) - 9.9).abs() < 1e-9);
        // Of values that double together, the medians' ratio would tell of the machine.
        assert!((median_ratio(&[3.0, 6.0, 5.0], &[2.0, 4.0, 5.0]) - 1.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("T", "N.", &["a", "b"]);
        table.row(["1".into(), "2".into()]);
        assert_eq!(table.markdown(), "## T\nN.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n");
    }
}
