//! When a certificate is renewed: the CA's advice (ARI, RFC 9773), else what the object says, else a share of its lifetime. Pure.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{HeldCertificate, RenewBefore};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Below this lifetime half of it is left for the renewal, otherwise a third (what Let's Encrypt asks for).
const SHORT_LIFETIME: Duration = DAY.saturating_mul(10);
/// With less than this share of the lifetime left the CA's advice is not waited for any more.
const EMERGENCY_SHARE: u32 = 20;

/// What the CA advised for one certificate, and what was made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenewalAdvice {
    /// End of the certificate that this is about, so that its successor does not inherit it.
    pub not_after: SystemTime,
    /// The suggested window, if the CA gave a usable one.
    pub window: Option<Window>,
    /// When the CA is asked again.
    pub next_poll: SystemTime,
    /// Failed polls in a row.
    pub failures: u32,
    /// Where the CA explains an unusual window.
    pub explanation_url: Option<String>,
}

/// A suggested window with the time chosen in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Start of the window.
    pub start: SystemTime,
    /// End of the window.
    pub end: SystemTime,
    /// The time that was drawn, once: drawing again at each look would move the renewal to the window's start.
    pub chosen: SystemTime,
}

impl Window {
    /// The window with a time in it: the one chosen before while it is still inside, otherwise a new one drawn by `chance` (0 to 1). `None` when the
    /// window ends before it starts (RFC 9773 section 4.2 has the client treat that as no answer).
    #[must_use]
    pub fn draw(start: SystemTime, end: SystemTime, before: Option<Self>, chance: f64) -> Option<Self> {
        let width = end.duration_since(start).ok().filter(|width| !width.is_zero())?;
        let kept = before.map(|window| window.chosen).filter(|chosen| (start..=end).contains(chosen));
        let chosen = kept.unwrap_or_else(|| start + width.mul_f64(chance.clamp(0.0, 1.0)));
        Some(Self { start, end, chosen })
    }
}

/// When the renewal of this certificate starts.
#[must_use]
pub fn renew_at(certificate: &HeldCertificate, asked: Option<RenewBefore>, advice: Option<&RenewalAdvice>) -> SystemTime {
    let end = certificate.not_after;
    let lifetime = end.duration_since(certificate.not_before).unwrap_or_default();
    let advised = advice.filter(|advice| advice.not_after == end).and_then(|advice| advice.window).map(|window| window.chosen);
    match advised {
        Some(chosen) => chosen.min(before(end, lifetime / EMERGENCY_SHARE)),
        None => before(end, lead(lifetime, asked)),
    }
}

/// How long before the end.
fn lead(lifetime: Duration, asked: Option<RenewBefore>) -> Duration {
    let usual = if lifetime < SHORT_LIFETIME { lifetime / 2 } else { lifetime / 3 };
    match asked {
        // As cert-manager does: a lead of the whole lifetime would renew for ever.
        Some(RenewBefore::Duration(lead)) if lead < lifetime => lead,
        Some(RenewBefore::Percentage(share)) if (1..100).contains(&share) => lifetime * u32::from(share) / 100,
        _ => usual,
    }
}

fn before(end: SystemTime, lead: Duration) -> SystemTime {
    end.checked_sub(lead).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// When the CA is asked for its advice again: what it said (`Retry-After`), between a minute and a day, otherwise in six hours; sooner, but ever later,
/// after polls that failed.
#[must_use]
pub fn next_poll(now: SystemTime, retry_after: Option<SystemTime>, failures: u32, chance: f64) -> SystemTime {
    const USUAL: Duration = Duration::from_secs(6 * 60 * 60);
    let wait = match (retry_after, failures) {
        (Some(at), _) => at.duration_since(now).unwrap_or_default().clamp(Duration::from_secs(60), DAY),
        (None, 0) => USUAL,
        (None, failures) => Duration::from_secs(60).saturating_mul(2_u32.saturating_pow(failures - 1)).min(USUAL),
    };
    now + wait.mul_f64(1.0 + 0.1 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::{DAY, RenewalAdvice, Window, next_poll, renew_at};
    use crate::{HeldCertificate, RenewBefore};
    use proptest::prelude::{Strategy, proptest};
    use std::time::{Duration, SystemTime};

    fn day(n: f64) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY.mul_f64(n)
    }

    fn valid(from: f64, to: f64) -> HeldCertificate {
        HeldCertificate {
            chain_pem: String::new(),
            key_pem: String::new(),
            ca_pem: None,
            names: vec![],
            not_before: day(from),
            not_after: day(to),
            issuer: String::new(),
            signer: None,
            key_kind: None,
        }
    }

    fn advice(about: f64, chosen: f64) -> RenewalAdvice {
        let window = Window { start: day(chosen - 1.0), end: day(chosen + 1.0), chosen: day(chosen) };
        RenewalAdvice { not_after: day(about), window: Some(window), next_poll: day(0.0), failures: 0, explanation_url: None }
    }

    #[test]
    fn advice_goes_before_the_object_and_the_object_before_the_usual_share() {
        let percent = |share| Some(RenewBefore::Percentage(share));
        let days = |days: u32| Some(RenewBefore::Duration(DAY * days));
        let rows = [
            (90.0, None, None, 60.0),
            (6.0, None, None, 3.0),
            (90.0, days(10), None, 80.0),
            (90.0, days(90), None, 60.0),
            (90.0, percent(50), None, 45.0),
            (90.0, percent(0), None, 60.0),
            (90.0, days(10), Some(advice(90.0, 70.0)), 70.0),
            (90.0, None, Some(advice(80.0, 70.0)), 60.0),
            (100.0, None, Some(advice(100.0, 99.0)), 95.0),
            (90.0, None, Some(advice(90.0, 2.0)), 2.0),
        ];
        for (end, asked, advice, expected) in rows {
            let at = renew_at(&valid(0.0, end), asked, advice.as_ref());
            assert_eq!(at, day(expected), "{end} {asked:?} {advice:?}");
        }
    }

    #[test]
    fn a_drawn_time_is_kept_while_it_stays_inside_the_window() {
        let first = Window::draw(day(1.0), day(3.0), None, 0.5);
        assert_eq!(first, Some(Window { start: day(1.0), end: day(3.0), chosen: day(2.0) }));
        assert_eq!(Window::draw(day(1.5), day(3.0), first, 0.9).map(|window| window.chosen), Some(day(2.0)));
        assert_eq!(Window::draw(day(0.0), day(1.0), first, 0.25).map(|window| window.chosen), Some(day(0.25)));
        assert_eq!(Window::draw(day(3.0), day(1.0), first, 0.5), None);
        assert_eq!(Window::draw(day(1.0), day(1.0), None, 0.5), None);
    }

    #[test]
    fn polls_follow_the_server_within_bounds() {
        let now = day(1.0);
        let rows = [
            (Some(now + Duration::from_secs(5)), 0, 60),
            (Some(now + Duration::from_secs(7200)), 3, 7200),
            (Some(now + 30 * DAY), 0, 86_400),
            (None, 0, 21_600),
            (None, 1, 60),
            (None, 40, 21_600),
        ];
        for (says, failures, seconds) in rows {
            assert_eq!(next_poll(now, says, failures, 0.0), now + Duration::from_secs(seconds));
        }
    }

    proptest! {
        #[test]
        fn the_renewal_is_never_after_the_end_and_the_emergency_line_holds(
            life in 0.001..400.0_f64, chosen in 1.0..500.0_f64, lead in proptest::option::of((0_u32..500).prop_map(|days| RenewBefore::Duration(DAY * days))),
        ) {
            let certificate = valid(0.0, life);
            assert!(renew_at(&certificate, lead, None) <= certificate.not_after);
            let advised = renew_at(&certificate, lead, Some(&advice(life, chosen)));
            let line = DAY.mul_f64(life) / super::EMERGENCY_SHARE;
            assert!(advised <= certificate.not_after - line);
        }
    }
}
