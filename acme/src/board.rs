//! What is published: the one value of [`Held`] that everybody watches. Answers to challenges stay in it as long as whoever presented them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::{CertificateState, Challenges, Held, HeldCertificate, SecretName};

/// An answer to a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// RFC 8555 section 8.3.
    Http01 {
        /// Whose.
        host: String,
        /// Last segment of the path.
        token: String,
        /// The body.
        key_authorization: String,
    },
    /// RFC 8555 section 8.4.
    Dns01 {
        /// Owner name, without the last dot.
        owner: String,
        /// TXT value.
        value: String,
    },
    /// RFC 8737.
    TlsAlpn01 {
        /// Whose.
        host: String,
        /// SHA-256 of the key authorization.
        digest: [u8; 32],
    },
}

/// Publishes [`Held`].
#[derive(Debug, Clone)]
pub(crate) struct Board {
    held: Arc<watch::Sender<Arc<Held>>>,
}

impl Board {
    /// A board that shows these certificates, and where it is watched.
    pub(crate) fn new(certificates: BTreeMap<SecretName, Arc<HeldCertificate>>) -> (Self, watch::Receiver<Arc<Held>>) {
        let (sender, receiver) = watch::channel(Arc::new(Held { certificates, ..Held::default() }));
        (Self { held: Arc::new(sender) }, receiver)
    }

    /// What is shown now.
    pub(crate) fn current(&self) -> Arc<Held> {
        self.held.borrow().clone()
    }

    /// Shows a certificate.
    pub(crate) fn hold(&self, secret: SecretName, certificate: HeldCertificate) {
        self.held.send_modify(|held| drop(Arc::make_mut(held).certificates.insert(secret, Arc::new(certificate))));
    }

    /// Shows a certificate no more.
    pub(crate) fn release(&self, secret: &SecretName) {
        self.held.send_if_modified(|held| held.certificates.contains_key(secret) && Arc::make_mut(held).certificates.remove(secret).is_some());
    }

    /// Shows where each wanted certificate stands.
    pub(crate) fn say(&self, states: BTreeMap<SecretName, CertificateState>) {
        self.held.send_if_modified(|held| {
            let changed = held.states != states;
            if changed {
                Arc::make_mut(held).states = states;
            }
            changed
        });
    }

    /// Shows an answer until what is returned is dropped.
    pub(crate) fn present(&self, answer: Answer) -> Presented {
        self.held.send_modify(|held| add(&mut Arc::make_mut(held).challenges, &answer));
        Presented { board: self.clone(), answer }
    }
}

/// An answer that is shown.
pub(crate) struct Presented {
    board: Board,
    /// The answer.
    pub(crate) answer: Answer,
}

impl Drop for Presented {
    fn drop(&mut self) {
        self.board.held.send_modify(|held| withdraw(&mut Arc::make_mut(held).challenges, &self.answer));
    }
}

fn add(challenges: &mut Challenges, answer: &Answer) {
    match answer.clone() {
        Answer::Http01 { host, token, key_authorization } => drop(challenges.http01.insert((host, token), key_authorization)),
        Answer::Dns01 { owner, value } => challenges.dns01.entry(owner).or_default().push(value),
        Answer::TlsAlpn01 { host, digest } => drop(challenges.tls_alpn01.insert(host, digest)),
    }
}

/// Takes an answer away, but never one that another attempt has put in its place.
fn withdraw(challenges: &mut Challenges, answer: &Answer) {
    match answer {
        Answer::Http01 { host, token, .. } => drop(challenges.http01.remove(&(host.clone(), token.clone()))),
        Answer::Dns01 { owner, value } => {
            let values = challenges.dns01.entry(owner.clone()).or_default();
            if let Some(place) = values.iter().position(|present| present == value) {
                values.remove(place);
            }
            challenges.dns01.retain(|_, values| !values.is_empty());
        }
        Answer::TlsAlpn01 { host, digest } => {
            if challenges.tls_alpn01.get(host) == Some(digest) {
                challenges.tls_alpn01.remove(host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Board};
    use crate::Challenges;
    use std::collections::BTreeMap;

    #[test]
    fn answers_are_shown_while_they_are_held_and_share_an_owner_name() {
        let (board, held) = Board::new(BTreeMap::new());
        let txt = |value: &str| Answer::Dns01 { owner: "_acme-challenge.a".to_owned(), value: value.to_owned() };
        let shown = || held.borrow().challenges.dns01.clone();
        let first = board.present(txt("1"));
        let second = board.present(txt("2"));
        assert_eq!(shown(), BTreeMap::from([("_acme-challenge.a".to_owned(), vec!["1".to_owned(), "2".to_owned()])]));
        drop(first);
        assert_eq!(shown(), BTreeMap::from([("_acme-challenge.a".to_owned(), vec!["2".to_owned()])]));
        drop(second);
        assert_eq!(held.borrow().challenges, Challenges::default());
    }

    #[test]
    fn a_late_withdrawal_leaves_the_newer_answer() {
        let (board, held) = Board::new(BTreeMap::new());
        let alpn = |byte| Answer::TlsAlpn01 { host: "a".to_owned(), digest: [byte; 32] };
        let old = board.present(alpn(1));
        let new = board.present(alpn(2));
        drop(old);
        assert_eq!(held.borrow().challenges.tls_alpn01, BTreeMap::from([("a".to_owned(), [2; 32])]));
        drop(new);
        assert_eq!(held.borrow().challenges, Challenges::default());
    }
}
