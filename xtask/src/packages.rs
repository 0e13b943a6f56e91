//! The system packages that steps need, and which of them are missing. Pure.

/// A Debian package, known to be there by a program it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: &'static str,
    /// A program of it, with its whole path where it is not found by name.
    pub(crate) program: &'static str,
}

const fn package(name: &'static str, program: &'static str) -> Package {
    Package { name, program }
}

const COMPILER: Package = package("build-essential", "g++");

/// To build vrata.
pub(crate) const BUILD: &[Package] = &[COMPILER];

/// To test it: the name servers that answers are compared with, and the clients that people use.
pub(crate) const TEST: &[Package] = &[
    COMPILER,
    package("knot", "knotd"),
    package("nsd", "nsd"),
    package("bind9-dnsutils", "dig"),
    package("curl", "curl"),
    package("netcat-openbsd", "nc"),
    package("chromium", "chromium"),
    package("iproute2", "ip"),
    package("util-linux", "setpriv"),
];

/// To check the units of `deploy/`.
pub(crate) const DEPLOY: &[Package] = &[COMPILER, package("systemd", "systemd-analyze")];

/// To build the image with a program that needs no libraries, and to run it.
pub(crate) const IMAGE: &[Package] = &[
    COMPILER,
    package("musl-tools", "musl-gcc"),
    package("buildah", "buildah"),
    package("libcap2-bin", "setcap"),
    package("ca-certificates", "update-ca-certificates"),
    package("iproute2", "ip"),
    package("curl", "curl"),
    package("bind9-dnsutils", "dig"),
];

/// To check the chart: the queries of its alerts and dashboard.
pub(crate) const CHART: &[Package] = &[COMPILER, package("prometheus", "promtool")];

/// Lays programs out by what they did under load. Asked for by its whole path: only there does it find its library.
pub(crate) const BOLT: &str = "/usr/lib/llvm-19/bin/llvm-bolt";

/// To build it as it is shipped and to measure it: its peers, and what puts load on them.
pub(crate) const BENCH: &[Package] = &[
    COMPILER,
    package("bolt-19", BOLT),
    package("nginx-light", "nginx"),
    package("haproxy", "haproxy"),
    package("knot", "knotd"),
    package("nsd", "nsd"),
    package("dnsperf", "dnsperf"),
    package("wrk", "wrk"),
    package("linux-perf", "perf"),
    package("curl", "curl"),
    package("iproute2", "ip"),
    package("util-linux", "taskset"),
];

/// The packages whose program is not there, each once, in order.
pub(crate) fn missing(needed: &[Package], is_there: impl Fn(&str) -> bool) -> Vec<Package> {
    let mut missing = Vec::new();
    for package in needed {
        if !missing.contains(package) && !is_there(package.program) {
            missing.push(*package);
        }
    }
    missing
}

/// The arguments of `apt-get` that install them.
pub(crate) fn install_arguments(packages: &[Package]) -> Vec<&'static str> {
    ["install", "--yes", "--no-install-recommends"].into_iter().chain(packages.iter().map(|package| package.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::{COMPILER, install_arguments, missing, package};

    #[test]
    fn what_is_there_is_not_installed_again_and_nothing_twice() {
        let (dig, nsd) = (package("bind9-dnsutils", "dig"), package("nsd", "nsd"));
        assert_eq!(missing(&[COMPILER, dig, nsd, dig], |program| program == "nsd"), [COMPILER, dig]);
        assert_eq!(missing(&[dig, nsd], |_| true), []);
    }

    #[test]
    fn the_command_names_every_package() {
        let arguments = install_arguments(&[COMPILER, package("bind9-dnsutils", "dig")]);
        assert_eq!(arguments, ["install", "--yes", "--no-install-recommends", "build-essential", "bind9-dnsutils"]);
    }
}
