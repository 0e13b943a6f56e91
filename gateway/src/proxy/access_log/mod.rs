//! One line for each request.

mod line;
mod writer;

use std::io;

use prometheus::IntCounter;

pub(super) use line::{Entry, Try};
use writer::AccessLogWriter;

use crate::options::AccessLog;

/// The log of requests.
#[derive(Debug)]
pub(super) struct Log {
    format: AccessLog,
    writer: AccessLogWriter,
}

impl Log {
    /// The log, where one is wanted. `dropped` counts the lines that were given up.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(format: AccessLog, output: Box<dyn io::Write + Send>, dropped: IntCounter) -> io::Result<Option<Self>> {
        match format {
            AccessLog::Off => Ok(None),
            format => Ok(Some(Self { format, writer: AccessLogWriter::start(output, dropped)? })),
        }
    }

    /// Tells of one request.
    pub(super) fn write(&self, entry: &Entry<'_>) {
        let mut line = Vec::with_capacity(512);
        match self.format {
            AccessLog::Nginx => line::nginx(entry, &mut line),
            AccessLog::Json | AccessLog::Off => line::json(entry, &mut line),
        }
        self.writer.write(&line);
    }
}
