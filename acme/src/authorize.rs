//! Shows control over the names of an order: chooses a challenge for each, presents the answers, looks at them, and tells the CA.

use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, Order};

use crate::ask::{failure, patiently};
use crate::board::{Answer, Board, Presented};
use crate::check::SelfCheck;
use crate::failure::{AttemptFailure, FailureKind, kind_of_problem, words};
use crate::ledger::Record;
use crate::listed::listed;
use crate::transport::Session;
use crate::{ChallengeKind, Wanted};

/// What authorizing needs besides the order.
pub(crate) struct Proof<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) record: &'a Record,
    pub(crate) board: &'a Board,
    pub(crate) self_check: &'a SelfCheck,
    pub(crate) session: &'a Session,
}

/// A challenge whose answer is presented.
pub(crate) struct Pending {
    /// Which name, a wildcard with its asterisk.
    name: String,
    authorization_url: String,
    kind: ChallengeKind,
    presented: Presented,
}

impl Proof<'_> {
    /// Presents an answer for every authorization that is pending, waits until our listeners give it, and tells the CA. What is returned keeps the
    /// answers presented; the CA's decision is still to come.
    pub(crate) async fn offer(&self, order: &mut Order) -> Result<Vec<Pending>, AttemptFailure> {
        fetch(order).await.map_err(|error| failure("authorizations", &error, &self.session.last()))?;
        let pending = self.present(order).await?;
        let deadline = self.self_check.deadline();
        for challenge in &pending {
            self.self_check.wait_for(&challenge.presented.answer, deadline).await.map_err(|why| self_check_failure(challenge, &why))?;
        }
        for challenge in &pending {
            self.tell(order, challenge).await?;
        }
        Ok(pending)
    }

    async fn present(&self, order: &mut Order) -> Result<Vec<Pending>, AttemptFailure> {
        let mut pending = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| failure("authorization", &error, &self.session.last()))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = authorization.identifier().to_string();
            let authorization_url = authorization.url().to_owned();
            let offered: Vec<_> = authorization.challenges.iter().filter_map(|challenge| kind_of(&challenge.r#type)).collect();
            let kind = self.choose(&name, &offered)?;
            let challenge = authorization.challenge(type_of(kind)).ok_or_else(|| no_challenge(&name, &offered))?;
            let presented = self.board.present(answer(kind, &challenge)?);
            pending.push(Pending { name, authorization_url, kind, presented });
        }
        Ok(pending)
    }

    fn choose(&self, name: &str, offered: &[ChallengeKind]) -> Result<ChallengeKind, AttemptFailure> {
        let allowed = self.wanted.challenges.get(name).map(Vec::as_slice).unwrap_or_default();
        let turn = self.record.challenge_turns.get(name).copied().unwrap_or(0);
        choose(allowed, offered, turn).ok_or_else(|| no_challenge(name, offered))
    }

    /// Tells the CA that the answer is there. A CA that has looked already (before a restart) refuses that; its decision then stands.
    async fn tell(&self, order: &mut Order, challenge: &Pending) -> Result<(), AttemptFailure> {
        let told = patiently!(set_ready(order, challenge));
        let Err(error) = told else { return Ok(()) };
        let refused = failure(&format!("challenge for {}", challenge.name), &error, &self.session.last());
        if matches!(refused.kind, FailureKind::RateLimited | FailureKind::Unavailable) {
            return Err(refused);
        }
        tracing::debug!(name = challenge.name, %refused, "the CA does not want to be told");
        Ok(())
    }

    /// Why the CA found the order invalid: what it says of each name.
    pub(crate) async fn verdict(&self, order: &mut Order) -> Result<AttemptFailure, AttemptFailure> {
        let mut kinds = Vec::new();
        let mut said = Vec::new();
        let mut other_challenge = std::collections::BTreeSet::new();
        let (mut urls, mut authorizations) = (Vec::new(), order.authorizations());
        while let Some(next) = authorizations.next().await {
            urls.push(next.map_err(|error| failure("authorization", &error, &self.session.last()))?.url().to_owned());
        }
        for url in urls {
            let problems = patiently!(problems(order, &url));
            for (name, problem) in problems.map_err(|error| failure("authorization", &error, &self.session.last()))? {
                kinds.push(kind_of_problem(problem.r#type.as_deref(), problem.status));
                said.push(format!("{name}: {}", words(&problem)));
                if another_kind_may_help(&problem) {
                    other_challenge.insert(name);
                }
            }
        }
        if let Some(problem) = &order.state().error {
            kinds.push(kind_of_problem(problem.r#type.as_deref(), problem.status));
            said.extend(said.is_empty().then(|| words(problem)));
        }
        let kind = kinds.first().copied().unwrap_or(FailureKind::Validation);
        Ok(AttemptFailure { other_challenge, ..AttemptFailure::new(kind, said.join("; ")) })
    }
}

/// Fetches every authorization once; the library keeps those that it has, so that a refused nonce costs only the one it was for.
async fn fetch(order: &mut Order) -> Result<(), instant_acme::Error> {
    for count in 1..=order.state().authorizations.len() {
        patiently!(fetch_first(order, count))?;
    }
    Ok(())
}

async fn fetch_first(order: &mut Order, count: usize) -> Result<(), instant_acme::Error> {
    let mut authorizations = order.authorizations();
    for _ in 0..count {
        authorizations.next().await.transpose()?;
    }
    Ok(())
}

async fn set_ready(order: &mut Order, challenge: &Pending) -> Result<(), instant_acme::Error> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next?;
        if authorization.url() == challenge.authorization_url {
            return match authorization.challenge(type_of(challenge.kind)) {
                Some(mut challenge) => challenge.set_ready().await,
                None => Ok(()),
            };
        }
    }
    Ok(())
}

/// What the CA found wrong with one authorization: the name with each problem.
async fn problems(order: &mut Order, url: &str) -> Result<Vec<(String, instant_acme::Problem)>, instant_acme::Error> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next?;
        if authorization.url() == url {
            authorization.refresh().await?;
            let name = authorization.identifier().to_string();
            let found = authorization.challenges.iter().filter_map(|challenge| challenge.error.clone());
            return Ok(found.map(|problem| (name.clone(), problem)).collect());
        }
    }
    Ok(Vec::new())
}

/// The challenge to try: those allowed, in their order, that the CA offers; after `turn` failures the one that many places further.
fn choose(allowed: &[ChallengeKind], offered: &[ChallengeKind], turn: u32) -> Option<ChallengeKind> {
    let usable: Vec<_> = allowed.iter().copied().filter(|kind| offered.contains(kind)).collect();
    let place = usize::try_from(turn).ok()?.checked_rem(usable.len())?;
    usable.get(place).copied()
}

fn kind_of(challenge: &ChallengeType) -> Option<ChallengeKind> {
    match challenge {
        ChallengeType::Http01 => Some(ChallengeKind::Http01),
        ChallengeType::Dns01 => Some(ChallengeKind::Dns01),
        ChallengeType::TlsAlpn01 => Some(ChallengeKind::TlsAlpn01),
        _ => None,
    }
}

fn type_of(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

fn answer(kind: ChallengeKind, challenge: &instant_acme::ChallengeHandle<'_>) -> Result<Answer, AttemptFailure> {
    let Identifier::Dns(host) = challenge.identifier().identifier else {
        return Err(AttemptFailure::new(FailureKind::Rejected, "the CA wants something else than a DNS name shown"));
    };
    let (host, authorization) = (host.to_ascii_lowercase(), challenge.key_authorization());
    Ok(match kind {
        ChallengeKind::Http01 => Answer::Http01 { host, token: challenge.token.clone(), key_authorization: authorization.as_str().to_owned() },
        ChallengeKind::Dns01 => Answer::Dns01 { owner: format!("_acme-challenge.{host}"), value: authorization.dns_value() },
        ChallengeKind::TlsAlpn01 => {
            let digest = authorization.digest().as_ref().try_into().expect("SHA-256 has 32 octets");
            Answer::TlsAlpn01 { host, digest }
        }
    })
}

fn no_challenge(name: &str, offered: &[ChallengeKind]) -> AttemptFailure {
    AttemptFailure::new(
        FailureKind::Rejected,
        format!("{name}: none of the challenges that the CA offers ({}) can be answered for this name", listed(offered)),
    )
}

fn self_check_failure(challenge: &Pending, why: &str) -> AttemptFailure {
    let message = format!("{}: our own listener does not answer the challenge, so the CA was not asked: {why}", challenge.name);
    AttemptFailure { other_challenge: [challenge.name.clone()].into(), ..AttemptFailure::new(FailureKind::SelfCheck, message) }
}

/// Another kind of challenge goes another way to us; it does not help when the CA came to us and did not like what it got.
fn another_kind_may_help(problem: &instant_acme::Problem) -> bool {
    let name = problem.r#type.as_deref().and_then(|full| full.strip_prefix("urn:ietf:params:acme:error:"));
    matches!(name, Some("connection" | "dns" | "tls"))
}

#[cfg(test)]
mod tests {
    use super::choose;
    use crate::ChallengeKind::{Dns01, Http01, TlsAlpn01};

    #[test]
    fn the_preferred_challenge_is_tried_first_and_failures_turn_to_the_next() {
        let all = [Http01, Dns01, TlsAlpn01];
        let rows: [(&[_], &[_], u32, _); 8] = [
            (&[Http01, TlsAlpn01], &all, 0, Some(Http01)),
            (&[Http01, TlsAlpn01], &all, 1, Some(TlsAlpn01)),
            (&[Http01, TlsAlpn01], &all, 2, Some(Http01)),
            (&[Http01, Dns01], &[Dns01], 0, Some(Dns01)),
            (&[Http01, Dns01], &[Dns01], 7, Some(Dns01)),
            (&[Http01], &[Dns01], 0, None),
            (&[], &all, 0, None),
            (&all, &[], 3, None),
        ];
        for (allowed, offered, turn, expected) in rows {
            assert_eq!(choose(allowed, offered, turn), expected, "{allowed:?} {offered:?} {turn}");
        }
    }
}
