//! What a route asks of a user: a password, the word of an authentication server, or either beside an allowed address, in nginx's order.

use http::{StatusCode, header};
use pingora_proxy::Session;

use super::answer::{self, Denied, Reason, SignIn};
use super::app::{App, client_address, is_tls};
use super::authenticate;
use super::ctx::Ctx;
use super::external_auth::{Question, Refused, Verdict};
use super::metrics::Authenticated;
use super::sources;
use crate::Snapshot;
use crate::table::{BasicAuth, ExternalAuth, Route};

/// The route that asks, and the configuration that it was found in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The configuration.
    pub(super) snapshot: &'a Snapshot,
    /// The route.
    pub(super) route: &'a Route,
}

impl App {
    /// Whether the user may pass.
    pub(super) async fn let_in(&self, session: &Session, ctx: &mut Ctx, asked: Asked<'_>) -> Result<(), Reason> {
        let let_in =
            if asked.route.policy.satisfy_any { self.satisfy_any(session, ctx, asked).await } else { self.satisfy_all(session, ctx, asked).await };
        let_in.map_err(|reason| match &asked.route.policy.external_auth {
            Some(auth) => self.sent_to_sign_in(reason, auth, session, ctx, asked),
            None => reason,
        })
    }

    async fn satisfy_all(&self, session: &Session, ctx: &mut Ctx, asked: Asked<'_>) -> Result<(), Reason> {
        if let Some(auth) = &asked.route.policy.basic_auth {
            self.check_password(auth, session, ctx, asked.route).await?;
        }
        match &asked.route.policy.external_auth {
            Some(auth) => self.ask(auth, session, ctx, asked).await,
            None => Ok(()),
        }
    }

    async fn satisfy_any(&self, session: &Session, ctx: &mut Ctx, asked: Asked<'_>) -> Result<(), Reason> {
        let policy = &asked.route.policy;
        let mut refusal = None;
        if let Some(networks) = &policy.allowed_sources {
            if sources::admits(networks, client_address(session)) {
                return Ok(());
            }
            refusal = Some(Reason::Forbidden);
        }
        if let Some(auth) = &policy.basic_auth {
            match self.check_password(auth, session, ctx, asked.route).await {
                Ok(()) => return Ok(()),
                Err(reason) => refusal = Some(after(refusal, reason)?),
            }
        }
        if let Some(auth) = &policy.external_auth {
            match self.ask(auth, session, ctx, asked).await {
                Ok(()) => return Ok(()),
                Err(reason) => refusal = Some(after(refusal, reason)?),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    async fn check_password(&self, auth: &BasicAuth, session: &Session, ctx: &mut Ctx, route: &Route) -> Result<(), Reason> {
        let authorization = session.req_header().headers.get(header::AUTHORIZATION);
        match self.authenticator.check(&route.id.namespace, auth, authorization, self.now()).await {
            authenticate::Verdict::Passed(user) => ctx.user = Some(user),
            authenticate::Verdict::Refused => return Err(Reason::Unauthorized(answer::basic_challenge(&auth.realm))),
            authenticate::Verdict::Overloaded => return Err(Reason::Unavailable),
        }
        Ok(())
    }

    async fn ask(&self, auth: &ExternalAuth, session: &Session, ctx: &mut Ctx, asked: Asked<'_>) -> Result<(), Reason> {
        let verdict = self.external_authenticator.ask(auth, &self.question(session, ctx, asked)).await;
        let (counted, outcome) = match verdict {
            Ok(Verdict::Granted(granted)) => {
                ctx.granted = Some(Box::new(granted));
                (Authenticated::Granted, Ok(()))
            }
            Ok(Verdict::Refused(Refused { status, challenges, cookies })) => {
                (Authenticated::Refused, Err(Reason::Denied(Box::new(Denied { status, challenges, cookies }))))
            }
            Err(fault) => {
                let id = &asked.route.id;
                tracing::debug!(namespace = id.namespace, ingress = id.ingress, %fault, "no verdict about a request");
                (Authenticated::Failed, Err(Reason::NoVerdict))
            }
        };
        if let Some(state) = ctx.state() {
            state.series.asked(counted);
        }
        outcome
    }

    /// Sends a browser that has to say who it is to where it can, with the cookies of the server that sent it; else the cookies reach it only where they
    /// always do.
    fn sent_to_sign_in(&self, reason: Reason, auth: &ExternalAuth, session: &Session, ctx: &Ctx, asked: Asked<'_>) -> Reason {
        let page = if reason.status() == StatusCode::UNAUTHORIZED { auth.sign_in_location(&self.question(session, ctx, asked)) } else { None };
        match (reason, page) {
            (Reason::Denied(denied), Some(location)) => Reason::SignIn(Box::new(SignIn { location, cookies: denied.cookies })),
            (_, Some(location)) => Reason::SignIn(Box::new(SignIn { location, cookies: Vec::new() })),
            (Reason::Denied(denied), None) if !auth.always_set_cookie => Reason::Denied(Box::new(Denied { cookies: Vec::new(), ..*denied })),
            (reason, None) => reason,
        }
    }

    fn question<'a>(&self, session: &'a Session, ctx: &'a Ctx, asked: Asked<'a>) -> Question<'a> {
        Question {
            snapshot: asked.snapshot,
            route: asked.route,
            header: session.req_header(),
            client: client_address(session),
            tls: is_tls(session),
            request_id: &ctx.request_id,
            now: self.now(),
        }
    }
}

/// The refusal that is left of two, where one of several restrictions is enough: the first that asks who somebody is, else the last. What is no refusal
/// ends the question (nginx's access phase).
///
/// # Errors
/// `next`, when it is no refusal.
fn after(refusal: Option<Reason>, next: Reason) -> Result<Reason, Reason> {
    match (refusal, next.status()) {
        (_, status) if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN => Err(next),
        (Some(first), _) if first.status() == StatusCode::UNAUTHORIZED => Ok(first),
        _ => Ok(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(status: StatusCode) -> Reason {
        Reason::Denied(Box::new(Denied { status, challenges: vec![], cookies: vec![] }))
    }

    #[test]
    fn of_two_refusals_the_one_that_asks_who_it_is_counts() {
        let unauthorized = || Reason::Unauthorized(answer::basic_challenge("x"));
        let (denied_401, denied_403) = (|| denied(StatusCode::UNAUTHORIZED), || denied(StatusCode::FORBIDDEN));
        for (first, next, expected) in [
            (None, unauthorized(), Ok(unauthorized())),
            (Some(Reason::Forbidden), unauthorized(), Ok(unauthorized())),
            (Some(Reason::Forbidden), denied_403(), Ok(denied_403())),
            (Some(unauthorized()), denied_403(), Ok(unauthorized())),
            (Some(unauthorized()), denied_401(), Ok(unauthorized())),
            (Some(unauthorized()), Reason::NoVerdict, Err(Reason::NoVerdict)),
            (None, Reason::Unavailable, Err(Reason::Unavailable)),
        ] {
            assert_eq!(after(first.clone(), next.clone()), expected, "{first:?} {next:?}");
        }
    }
}
