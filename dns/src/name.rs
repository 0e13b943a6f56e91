//! Domain names as bytes of the wire (RFC 1035 section 3.1), lower-cased, with the offset of each label. No allocation.

use crate::Name;

/// Longest name in bytes, the root's zero included.
const MAX_LENGTH: usize = 255;
/// Most labels that fit, the root's not counted.
const MAX_LABELS: usize = 127;

/// A lower-cased name.
#[derive(Clone, Copy)]
pub(crate) struct WireName {
    bytes: [u8; MAX_LENGTH],
    length: u8,
    starts: [u8; MAX_LABELS],
    labels: u8,
}

impl WireName {
    /// Reads the uncompressed name at `at`; `None` if it is cut off, too long, or holds a pointer.
    pub(crate) fn read(message: &[u8], at: usize) -> Option<Self> {
        let mut name = Self { bytes: [0; MAX_LENGTH], length: 0, starts: [0; MAX_LABELS], labels: 0 };
        let mut length = 0;
        loop {
            let size = usize::from(*message.get(at + length)?);
            if size == 0 {
                break;
            }
            if size > 63 || length + size + 2 > MAX_LENGTH {
                return None;
            }
            name.starts[usize::from(name.labels)] = length as u8;
            name.labels += 1;
            length += 1 + size;
        }
        let source = message.get(at..at + length)?;
        // A length byte is at most 63, below `A`: only letters change.
        for (to, from) in name.bytes.iter_mut().zip(source) {
            *to = from.to_ascii_lowercase();
        }
        name.length = length as u8 + 1;
        Some(name)
    }

    /// The name that hickory-proto holds; it has checked the lengths.
    pub(crate) fn of(name: &Name) -> Self {
        let mut wire = Self { bytes: [0; MAX_LENGTH], length: 0, starts: [0; MAX_LABELS], labels: 0 };
        let (mut length, mut labels) = (0, 0);
        for label in name.iter() {
            let end = length + 1 + label.len();
            if end >= MAX_LENGTH {
                break;
            }
            wire.starts[labels] = length as u8;
            labels += 1;
            wire.bytes[length] = label.len() as u8;
            wire.bytes[length + 1..end].copy_from_slice(label);
            length = end;
        }
        wire.bytes[..length].make_ascii_lowercase();
        wire.length = length as u8 + 1;
        wire.labels = labels as u8;
        wire
    }

    /// How many labels, the root's not counted.
    pub(crate) const fn labels(&self) -> usize {
        self.labels as usize
    }

    /// All bytes, the root's zero included.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Where the last `labels` labels start.
    pub(crate) fn start_of_last(&self, labels: usize) -> usize {
        match self.labels().checked_sub(labels) {
            Some(first) if labels > 0 => usize::from(self.starts[first]),
            _ => usize::from(self.length) - 1,
        }
    }

    /// The name made of the last `labels` labels.
    pub(crate) fn last(&self, labels: usize) -> &[u8] {
        &self.bytes[self.start_of_last(labels)..usize::from(self.length)]
    }
}

/// The hickory-proto name of wire bytes that come from a zone.
pub(crate) fn to_name(wire: &[u8]) -> Name {
    let mut labels = Vec::new();
    let mut at = 0;
    while let Some(size) = wire.get(at).map(|&size| usize::from(size)).filter(|&size| size > 0) {
        labels.push(&wire[at + 1..at + 1 + size]);
        at += 1 + size;
    }
    Name::from_labels(labels).expect("the zone's names were valid when it was built")
}
