//! The order in which candidates are measured: each in turn, round after round, so that a change of the machine's speed meets all.

use anyhow::Result;

/// What `measure` finds of each candidate, a value a round. A round before them only warms up.
pub(super) fn in_turn<C, S>(rounds: u32, candidates: &[C], measure: impl Fn(&C) -> Result<S>) -> Result<Vec<Vec<S>>> {
    let mut samples: Vec<Vec<S>> = candidates.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (candidate, samples) in candidates.iter().zip(&mut samples) {
            let sample = measure(candidate)?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn each_is_measured_in_each_round_and_the_first_round_does_not_count() {
        let asked = RefCell::new(Vec::new());
        let samples = in_turn(2, &["a", "b"], |name| {
            asked.borrow_mut().push(*name);
            Ok(asked.borrow().len())
        });
        assert_eq!((samples.unwrap(), asked.into_inner()), (vec![vec![3, 5], vec![4, 6]], vec!["a", "b", "a", "b", "a", "b"]));
        assert!(in_turn(1, &[()], |()| Err::<(), _>(anyhow::anyhow!("gone"))).is_err());
    }
}
