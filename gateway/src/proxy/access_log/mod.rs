//! One line for each request.

mod line;
mod writer;

pub(super) use line::{Entry, Try, json, nginx};
pub(super) use writer::AccessLogWriter;
