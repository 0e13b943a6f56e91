//! Requests: Pingora's `ProxyHttp` filters over one snapshot. Decisions are in pure siblings; `app` only carries them out.

mod access;
mod access_log;
mod answer;
mod app;
mod authenticate;
mod backend;
mod balance;
mod basic;
mod ctx;
mod decide;
mod external_auth;
mod external_name;
mod finish;
mod forwarded;
mod headers;
mod kept;
mod metrics;
mod peer;
mod redirect;
mod refuse;
mod request;
mod request_id;
mod respond;
mod retry;
mod runtime;
mod sources;
mod tunnel;
mod verified;

#[cfg(test)]
mod tests;

pub(crate) use app::App;
pub use kept::Kept;
