//! What the controller counts about itself.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, IntGauge, IntGaugeVec, Opts, Registry};

use crate::problem::{Problem, Reason, Severity};

/// The controller's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    compile: Histogram,
    generation: IntGauge,
    swapped: Gauge,
    problems: IntGaugeVec,
    expiry: GaugeVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let compile = HistogramOpts::new("vrata_compile_duration_seconds", "Time of a full compile, in seconds")
            .buckets(vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]);
        let metrics = Self {
            compile: Histogram::with_opts(compile)?,
            generation: IntGauge::new("vrata_snapshot_generation", "Generation of the snapshot that is served")?,
            swapped: Gauge::new("vrata_snapshot_timestamp_seconds", "When the snapshot that is served was swapped in, in Unix seconds")?,
            problems: IntGaugeVec::new(Opts::new("vrata_problems", "Problems by severity and reason"), &["severity", "reason"])?,
            expiry: GaugeVec::new(
                Opts::new("vrata_certificate_expiry_timestamp_seconds", "End of each certificate that is wanted, in Unix seconds"),
                &["namespace", "secret"],
            )?,
        };
        registry.register(Box::new(metrics.compile.clone()))?;
        registry.register(Box::new(metrics.generation.clone()))?;
        registry.register(Box::new(metrics.swapped.clone()))?;
        registry.register(Box::new(metrics.problems.clone()))?;
        registry.register(Box::new(metrics.expiry.clone()))?;
        Ok(metrics)
    }

    /// A full compile took this long.
    pub fn compiled(&self, took: Duration) {
        self.compile.observe(took.as_secs_f64());
    }

    /// A snapshot was swapped in.
    pub fn swapped(&self, generation: u64, now: SystemTime) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.swapped.set(unix_seconds(now));
    }

    /// These problems stand now.
    pub fn problems(&self, problems: &[Problem]) {
        let mut counts: BTreeMap<(Severity, Reason), i64> = BTreeMap::new();
        for problem in problems {
            *counts.entry((problem.severity, problem.reason)).or_default() += 1;
        }
        self.problems.reset();
        for ((severity, reason), count) in counts {
            self.problems.with_label_values(&[&severity.to_string(), &reason.to_string()]).set(count);
        }
    }

    /// These certificates are held.
    pub fn certificates(&self, held: &acme::Held) {
        self.expiry.reset();
        for (secret, certificate) in &held.certificates {
            self.expiry.with_label_values(&[&secret.namespace, &secret.name]).set(unix_seconds(certificate.not_after));
        }
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
