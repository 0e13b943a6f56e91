//! Gets log lines out without ever holding up a request: lines are gathered in memory and written by a thread of their own; when that thread cannot keep
//! up they are dropped and counted.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::IntCounter;

/// Bytes that may wait to be written.
const MAX_WAITING: usize = 4 << 20;
/// Lines are gathered for this long, so that one write takes many of them.
const GATHER: Duration = Duration::from_millis(50);

/// Writes lines in the background. Dropping it writes what is left.
#[derive(Debug)]
pub(crate) struct AccessLogWriter {
    shared: Arc<Shared>,
    dropped: IntCounter,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, and a little longer for more of them. `None` once it is closed and nothing is left.
    fn take(&self, mut batch: Vec<u8>) -> Option<Vec<u8>> {
        let wait = self.changed.wait_while(self.lock(), |waiting| waiting.lines.is_empty() && !waiting.closed);
        let waiting = wait.unwrap_or_else(PoisonError::into_inner);
        let gather = self.changed.wait_timeout_while(waiting, GATHER, |waiting| !waiting.closed && waiting.lines.len() < MAX_WAITING / 4);
        let (mut waiting, _) = gather.unwrap_or_else(PoisonError::into_inner);
        batch.clear();
        std::mem::swap(&mut batch, &mut waiting.lines);
        (!batch.is_empty()).then_some(batch)
    }
}

impl AccessLogWriter {
    /// Starts the thread. `dropped` counts the lines that were given up.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(mut output: Box<dyn Write + Send>, dropped: IntCounter) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
            let mut batch = Vec::new();
            while let Some(lines) = theirs.take(batch) {
                // A log that cannot be written to must not end the service; the next batch may get through.
                let _ = output.write_all(&lines).and_then(|()| output.flush());
                batch = lines;
            }
        })?;
        Ok(Self { shared, dropped, thread: Some(thread) })
    }

    /// Hands over one line, which ends with a newline.
    pub(crate) fn write(&self, line: &[u8]) {
        let mut waiting = self.shared.lock();
        if waiting.lines.len() + line.len() > MAX_WAITING {
            drop(waiting);
            self.dropped.inc();
            return;
        }
        let was_empty = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if was_empty {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for AccessLogWriter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc;

    use super::*;

    struct Output(mpsc::SyncSender<Vec<u8>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "dropped").unwrap()
    }

    #[test]
    fn all_lines_are_written_in_order_at_the_latest_when_it_is_dropped() {
        let (sender, receiver) = mpsc::sync_channel(1000);
        let log = AccessLogWriter::start(Box::new(Output(sender)), counter()).unwrap();
        for at in 0..100 {
            log.write(format!("{at}\n").as_bytes());
        }
        drop(log);
        let written: Vec<u8> = receiver.iter().flatten().collect();
        assert_eq!(String::from_utf8(written).unwrap(), (0..100).map(|at| format!("{at}\n")).collect::<String>());
    }

    #[test]
    fn slow_reader_costs_lines_and_not_time() {
        let (sender, receiver) = mpsc::sync_channel(0);
        let dropped = counter();
        let log = AccessLogWriter::start(Box::new(Output(sender)), dropped.clone()).unwrap();
        let line = [b'x'; 1 << 10];
        // Nobody reads: the thread hangs in its first write, at most two buffers are filled, and every further line is dropped at once.
        for _ in 0..3 * MAX_WAITING / line.len() {
            log.write(&line);
        }
        assert!(dropped.get() >= (MAX_WAITING / line.len()) as u64);
        drop(receiver);
        drop(log);
    }
}
