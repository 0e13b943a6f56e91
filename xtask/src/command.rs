//! A program that a step runs: shown before it runs, ended when it takes too long, and named when it fails.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

/// Between two looks at whether the program has ended.
const POLL: Duration = Duration::from_millis(50);

/// Longest run of a program whose limit nobody set.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// A program to run.
pub(crate) struct Program {
    command: Command,
    limit: Duration,
}

impl Program {
    /// A program, to be run in `directory`.
    pub(crate) fn new(name: impl AsRef<OsStr>, directory: &Path) -> Self {
        let mut command = Command::new(name);
        command.current_dir(directory);
        Self { command, limit: LIMIT }
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Ends it after `limit`.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it with this terminal.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {}", self.line());
        let child = self.spawn()?;
        let status = self.wait(child)?;
        if !status.success() {
            bail!("{} ({status})", self.line());
        }
        Ok(())
    }

    /// Runs it and gives its standard output and standard error, together, and whether it succeeded.
    pub(crate) fn output(mut self, log: &Path) -> Result<(String, bool)> {
        let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        self.command.stdout(file.try_clone()?).stderr(file);
        let child = self.spawn()?;
        let status = self.wait(child)?;
        let output = std::fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
        Ok((String::from_utf8_lossy(&output).into_owned(), status.success()))
    }

    /// Whether it ends well, its output thrown away.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.spawn().and_then(|child| self.wait(child)).is_ok_and(|status| status.success())
    }

    /// Goes on as this program, so that signals and the exit code are its own. Comes back only when it cannot be started.
    pub(crate) fn replace(mut self) -> ExitCode {
        let error = self.command.exec();
        eprintln!("error: cannot run {}: {error}", self.line());
        ExitCode::FAILURE
    }

    /// In a process group of its own, so that what it starts can be ended with it.
    fn spawn(&mut self) -> Result<Child> {
        self.command.stdin(Stdio::null()).process_group(0).spawn().with_context(|| format!("cannot run {}", self.line()))
    }

    fn wait(&self, mut child: Child) -> Result<ExitStatus> {
        let started = Instant::now();
        let interrupts = Interrupts::read()?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            let interrupted = interrupts.signals.read_signal()?.is_some();
            if interrupted || started.elapsed() > self.limit {
                let group = Pid::from_raw(child.id().cast_signed());
                killpg(group, Signal::SIGKILL).context("cannot end it")?;
                child.wait()?;
                if interrupted {
                    eprintln!("interrupted");
                    std::process::exit(130);
                }
                bail!("{} took more than {} s and was ended", self.line(), self.limit.as_secs());
            }
            thread::sleep(POLL);
        }
    }

    /// As one would type it.
    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(OsString::from).map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}

/// Ctrl-C and the like, read instead of obeyed: they do not reach the program's own process group, so they are passed on here. Obeyed again once it is
/// dropped: the next program would inherit the mask, and never hear of a SIGTERM that its tests send.
struct Interrupts {
    signals: SignalFd,
    before: SigSet,
}

impl Interrupts {
    fn read() -> Result<Self> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { signals: SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?, before })
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // A mask that the system gave is one that it takes.
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::path::Path;
    use std::time::Duration;

    use super::Program;

    #[test]
    fn what_fails_or_takes_too_long_is_named() {
        let failure = Program::new("false", Path::new("/")).args(["now"]).run().unwrap_err();
        assert_eq!(failure.to_string(), "false now (exit status: 1)");
        let endless = Program::new("sleep", Path::new("/")).args(["600"]).limit(Duration::from_millis(1)).run().unwrap_err();
        assert_eq!(endless.to_string(), "sleep 600 took more than 0 s and was ended");
        let missing = Program::new("no-such-program", Path::new("/")).run().unwrap_err();
        assert_eq!(missing.to_string(), "cannot run no-such-program");
    }

    #[test]
    fn every_program_can_be_asked_to_stop_however_many_ran_before() {
        for _ in 0..2 {
            Program::new("sh", Path::new("/")).args(["-c", "kill -TERM $$; exit 3"]).run().unwrap_err().to_string().find("signal: 15").unwrap();
        }
    }
}
