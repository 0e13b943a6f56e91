//! Who holds which address: pools, what Services ask for, and the allocation, as pure functions over values.
//!
//! `pool` reads the configuration, `requests` reads one Service, `allocate` decides. Nothing here binds or announces an address.

mod allocate;
mod choice;
mod claim;
mod held;
mod ledger;
mod pool;
mod refusal;
mod requests;
mod status;

pub use allocate::{Outcome, allocate};
pub use claim::{Asked, Claim, Families, Family, Port, Protocol, Request};
pub use held::{Allocation, Allocations, MalformedKey};
pub use pool::{PoolError, PoolRanges, RangeError};
pub use refusal::{Refusal, SharingObstacle};
pub use requests::{Reading, RequestError, claim_of};
pub use status::held_allocations;
pub(crate) use status::status_addresses;
