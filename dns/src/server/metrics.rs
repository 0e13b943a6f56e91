//! Counters that no two UDP threads share, summed when they are read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::{Answered, Transport};

const TYPES: [(u16, &str); 16] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (43, "DS"),
    (48, "DNSKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (252, "AXFR"),
    (255, "ANY"),
    (257, "CAA"),
];
/// Codes that [`crate::answer()`] gives.
const CODES: [(u16, &str); 6] = [(0, "NOERROR"), (1, "FORMERR"), (3, "NXDOMAIN"), (4, "NOTIMP"), (5, "REFUSED"), (16, "BADVERS")];
const OTHER_TYPE: usize = TYPES.len();

/// What one thread counts.
#[derive(Debug)]
pub(super) struct Counters {
    transport: Transport,
    queries: [[AtomicU64; CODES.len()]; TYPES.len() + 1],
    truncated: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    fn new(transport: Transport) -> Self {
        Self { transport, queries: Default::default(), truncated: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    /// Counts one query, and its answer if it got one.
    pub(super) fn count(&self, answered: Option<&Answered>) {
        let Some(answered) = answered else {
            self.dropped.fetch_add(1, Relaxed);
            return;
        };
        let record_type = TYPES.binary_search_by_key(&answered.record_type, |&(number, _)| number).unwrap_or(OTHER_TYPE);
        let code = CODES.binary_search_by_key(&answered.code, |&(number, _)| number).unwrap_or_default();
        self.queries[record_type][code].fetch_add(1, Relaxed);
        if answered.truncated {
            self.truncated.fetch_add(1, Relaxed);
        }
    }

    /// Counts what got no reply although it should have.
    pub(super) fn lost(&self, queries: usize) {
        self.dropped.fetch_add(queries as u64, Relaxed);
    }

    const fn transport(&self) -> &'static str {
        match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// The server's counters in a registry.
#[derive(Debug, Clone)]
pub(super) struct Metrics(Arc<Mutex<Vec<Arc<Counters>>>>);

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self(Arc::default());
        registry.register(Box::new(Exported { metrics: metrics.clone(), descriptions: Families::new()?.descriptions() }))?;
        Ok(metrics)
    }

    /// Counters for one more thread.
    pub(super) fn counters(&self, transport: Transport) -> Arc<Counters> {
        let counters = Arc::new(Counters::new(transport));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }
}

struct Exported {
    metrics: Metrics,
    descriptions: Vec<Desc>,
}

impl Collector for Exported {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = Families::new().expect("the names were valid when they were registered");
        for counters in self.metrics.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            families.add(counters);
        }
        families.all().into_iter().flat_map(Collector::collect).collect()
    }
}

/// The exported families, filled anew for each reading.
struct Families {
    queries: IntCounterVec,
    truncated: IntCounter,
    dropped: IntCounter,
}

impl Families {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            queries: IntCounterVec::new(Opts::new("vrata_dns_queries_total", "DNS queries answered"), &["transport", "type", "rcode"])?,
            truncated: IntCounter::new("vrata_dns_truncated_total", "DNS replies with the TC bit")?,
            dropped: IntCounter::new("vrata_dns_dropped_total", "DNS messages that got no reply")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 3] {
        [&self.queries, &self.truncated, &self.dropped]
    }

    fn descriptions(&self) -> Vec<Desc> {
        self.all().into_iter().flat_map(Collector::desc).cloned().collect()
    }

    fn add(&self, counters: &Counters) {
        self.truncated.inc_by(counters.truncated.load(Relaxed));
        self.dropped.inc_by(counters.dropped.load(Relaxed));
        for (index, by_code) in counters.queries.iter().enumerate() {
            let record_type = TYPES.get(index).map_or("other", |&(_, name)| name);
            for (&(_, code), count) in CODES.iter().zip(by_code).filter(|(_, count)| count.load(Relaxed) > 0) {
                self.queries.with_label_values(&[counters.transport(), record_type, code]).inc_by(count.load(Relaxed));
            }
        }
    }
}
