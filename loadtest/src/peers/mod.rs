//! The servers that are compared, each set up for the same work.

pub(crate) mod haproxy;
pub(crate) mod knot;
pub(crate) mod nginx;
pub(crate) mod nsd;
pub(crate) mod pebble;
pub(crate) mod vrata;
