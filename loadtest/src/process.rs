//! Servers under test: started on one core, their processor time and memory read from the kernel's own accounting, stopped when dropped.

use std::fs;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Core of the servers; the load generator has the other one.
pub(crate) const SERVER_CORE: &str = "0";
/// Core of the load generator and of the origin.
pub(crate) const CLIENT_CORE: &str = "1";

/// Where servers lie that are not in everybody's PATH.
const SYSTEM_PROGRAMS: &str = "/usr/sbin:/usr/local/sbin:/sbin";

/// Keeps this process, which is a client, off the servers' core.
pub(crate) fn stay_on_client_core() -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(CLIENT_CORE.parse()?)?;
    sched_setaffinity(Pid::from_raw(0), &cores).context("two cores are needed, one for the servers and one for the clients")
}

/// Lets this process, and what it starts, use every core again.
pub(crate) fn use_all_cores() -> Result<()> {
    let mut cores = CpuSet::new();
    for core in 0..CpuSet::count() {
        cores.set(core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &cores).context("cannot use all cores")
}

/// A running server with all its processes.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
}

/// Processor time of a server and its children, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl CpuTime {
    /// User and system time together.
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

impl std::ops::Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

impl Server {
    /// Starts `program` pinned to `core`, its output going to `log`.
    pub(crate) fn start(core: &str, program: &str, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::start_with(core, program, arguments, &[], log)
    }

    /// The same with additional environment variables.
    pub(crate) fn start_with(core: &str, program: &str, arguments: &[&str], environment: &[(&str, &str)], log: &Path) -> Result<Self> {
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new("taskset")
            .args(["-c", core, program])
            .args(arguments)
            .envs(environment.iter().copied())
            .env("PATH", format!("{}:{SYSTEM_PROGRAMS}", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {program}; is it installed?"))?;
        Ok(Self { child })
    }

    /// Waits until the server accepts TCP connections.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server for {address} ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("nothing answers on {address}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Process id of the server's first process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time used so far by all processes of the server.
    pub(crate) fn cpu(&self) -> Result<CpuTime> {
        cpu_of(self.id())
    }

    /// Resident memory of all processes of the server, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let mut total = 0;
        for id in family(self.id())? {
            let Ok(status) = fs::read_to_string(format!("/proc/{id}/status")) else { continue };
            total += resident(&status).unwrap_or(0) * 1024;
        }
        Ok(total)
    }
}

/// How long a server may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

impl Drop for Server {
    /// Asks it to end, so that it can write what it has gathered, and kills what is left of it after [`GRACE`].
    fn drop(&mut self) {
        let family = family(self.id()).unwrap_or_default();
        let send = |id: u32, signal| i32::try_from(id).is_ok_and(|id| kill(Pid::from_raw(id), signal).is_ok());
        send(self.id(), Signal::SIGTERM);
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        for id in family.into_iter().rev() {
            send(id, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// Processor time used so far by a process and its descendants.
pub(crate) fn cpu_of(process: u32) -> Result<CpuTime> {
    let tick = 1e6 / ticks_per_second()?;
    let mut total = CpuTime { user: 0.0, system: 0.0 };
    for id in family(process)? {
        // A worker may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let (user, system) = times(&stat).with_context(|| format!("/proc/{id}/stat: {stat}"))?;
        total.user += user * tick;
        total.system += system * tick;
    }
    Ok(total)
}

fn ticks_per_second() -> Result<f64> {
    let ticks = sysconf(SysconfVar::CLK_TCK)?.context("the kernel does not tell its clock tick")?;
    Ok(f64::from(u32::try_from(ticks)?))
}

/// The process and its descendants.
fn family(root: u32) -> Result<Vec<u32>> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")?
        .filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            Some((id, parent(&stat)?))
        })
        .collect();
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&id) = family.get(at) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == id).map(|(child, _)| *child));
        at += 1;
    }
    Ok(family)
}

/// Fields of /proc/PID/stat after the command name, which may hold anything.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace().collect())
}

fn parent(stat: &str) -> Option<u32> {
    fields(stat)?.get(1)?.parse().ok()
}

fn times(stat: &str) -> Option<(f64, f64)> {
    let fields = fields(stat)?;
    Some((fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?))
}

/// Resident memory in KiB, of `/proc/PID/status`.
pub(crate) fn resident(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounting_is_read_whatever_the_command_is_called() {
        let stat = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 1 0 5 6 7";
        assert_eq!((parent(stat), times(stat)), (Some(7), Some((150.0, 25.0))));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2048));
    }
}
