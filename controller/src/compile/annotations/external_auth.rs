//! `auth-url`, `auth-signin` and their companions, and `satisfy`: authentication by another server. Whatever is amiss closes the routes. Pure.

use gateway::table::{AuthUrl, ExternalAuth, Template, may_reach_host, sign_in};
use http::{HeaderName, Method};

use super::table::PREFIX;
use super::{Reader, Unusable, annotation, unusable};
use crate::problem::Reason;

/// How a server can be asked.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Annotations that mean nothing without `auth-url`.
const COMPANIONS: [&str; 5] =
    ["auth-always-set-cookie", "auth-method", "auth-request-redirect", "auth-response-headers", "auth-signin-redirect-param"];

/// Headers that say how a connection and a body are to be read: no server may change them on the way to the app.
const FRAMING: [&str; 10] =
    ["connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

impl Reader<'_, '_> {
    /// What another server is asked.
    pub(super) fn external_auth(&mut self) -> Option<ExternalAuth> {
        let asked = match (self.text("auth-url"), self.text("auth-signin")) {
            (Some(url), _) => self.read_external_auth(url),
            (None, Some(_)) => Err(unusable(
                "auth-signin",
                Reason::InvalidAnnotation,
                "protects nothing without auth-url; add auth-url, or remove auth-signin if everybody may pass",
            )),
            (None, None) => {
                self.report_companions();
                return None;
            }
        };
        asked.map_err(|unusable| self.close(&unusable)).ok()
    }

    /// `satisfy`.
    pub(super) fn satisfy_any(&mut self) -> bool {
        match self.text("satisfy") {
            Some("any") => true,
            None | Some("all") => false,
            Some(other) => {
                self.invalid("satisfy", format!("{other:?} is neither \"any\" nor \"all\"; a request has to meet all restrictions"));
                false
            }
        }
    }

    fn report_companions(&mut self) {
        for name in COMPANIONS {
            if self.text(name).is_some() {
                let message = "has an effect only together with auth-url; remove it, or add auth-url";
                self.findings.hint(self.subject, annotation(&format!("{PREFIX}{name}")), Reason::NoEffect, message);
            }
        }
    }

    /// The value, where there is any.
    fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    fn read_external_auth(&self, url: &str) -> Result<ExternalAuth, Unusable> {
        let invalid = |field, message: String| unusable(field, Reason::InvalidAnnotation, message);
        let template =
            |field, value: &str, parsed: Result<Template, _>| parsed.map_err(|error| invalid(field, format!("{value:?} cannot be used: {error}")));
        let parameter = self.text("auth-signin-redirect-param").unwrap_or("rd");
        if !parameter.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
            return Err(invalid("auth-signin-redirect-param", format!("{parameter:?} is no name of a parameter; write letters and digits")));
        }
        Ok(ExternalAuth {
            url: self.auth_url(url)?,
            method: self.text("auth-method").map(method).transpose()?,
            sign_in: self.text("auth-signin").map(|page| self.sign_in(page, parameter)).transpose()?,
            request_redirect: self
                .text("auth-request-redirect")
                .map(|value| template("auth-request-redirect", value, Template::parse(value)))
                .transpose()?,
            response_headers: self.text("auth-response-headers").map(response_headers).transpose()?.unwrap_or_default(),
            always_set_cookie: self.always_set_cookie()?,
        })
    }

    fn auth_url(&self, text: &str) -> Result<AuthUrl, Unusable> {
        let error = |reason, why: String| unusable("auth-url", reason, format!("{text:?} cannot be used: {why}"));
        let url = AuthUrl::parse(text).map_err(|fault| error(Reason::InvalidAnnotation, fault.to_string()))?;
        if url.fixed_host().is_some_and(|host| !may_reach_host(host)) {
            let why =
                "its host is loopback, link-local, multicast or unspecified, which leads into the gateway's own machine or network; name the server";
            return Err(error(Reason::EndpointRefused, why.to_owned()));
        }
        Ok(url)
    }

    fn sign_in(&self, page: &str, parameter: &str) -> Result<Template, Unusable> {
        let invalid = |why: &str| unusable("auth-signin", Reason::InvalidAnnotation, format!("{page:?} cannot be used: {why}"));
        let starts = ["http://", "https://", "$scheme://", "$pass_access_scheme://", "/"];
        if page.starts_with("//") || !starts.iter().any(|start| page.starts_with(start)) {
            return Err(invalid("it starts with neither http:// nor https:// nor $scheme:// nor /"));
        }
        sign_in(page, parameter).map_err(|error| invalid(&error.to_string()))
    }

    fn always_set_cookie(&self) -> Result<bool, Unusable> {
        let value = self.text("auth-always-set-cookie").unwrap_or("false");
        let invalid = || unusable("auth-always-set-cookie", Reason::InvalidAnnotation, format!("{value:?} is neither \"true\" nor \"false\""));
        super::values::boolean(value).ok_or_else(invalid)
    }
}

fn method(text: &str) -> Result<Method, Unusable> {
    let known = METHODS.contains(&text).then(|| text.parse().ok()).flatten();
    known.ok_or_else(|| unusable("auth-method", Reason::InvalidAnnotation, format!("{text:?} is none of {}", METHODS.join(", "))))
}

fn response_headers(text: &str) -> Result<Vec<HeaderName>, Unusable> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| match name.parse::<HeaderName>() {
            Ok(header) if FRAMING.contains(&header.as_str()) => {
                let message = format!("{name:?} says how a connection or a body is read, which no server may change; remove it");
                Err(unusable("auth-response-headers", Reason::Refused, message))
            }
            Ok(header) => Ok(header),
            Err(_) => Err(unusable("auth-response-headers", Reason::InvalidAnnotation, format!("{name:?} is no name of a header"))),
        })
        .collect()
}
