//! Who holds which address: pools, what Services ask for, and the allocation, as pure functions over values.
//!
//! `pool` reads the configuration, `pool_objects` IPAddressPool objects, `requests` one Service; `allocate` decides. Nothing here binds or announces an
//! address.

mod allocate;
mod choice;
mod claim;
mod held;
mod ledger;
mod pool;
mod pool_objects;
mod quota;
mod range;
mod refusal;
mod requests;
mod selector;
mod status;

pub use allocate::{Outcome, Standing, allocate};
pub use claim::{Asked, Claim, Families, Family, Port, Protocol, Request, TrafficPolicy};
pub use held::{Allocation, Allocations, Foreign, MalformedKey};
pub use pool::{PoolError, PoolRanges};
pub use pool_objects::PoolFault;
pub use quota::Quota;
pub use range::{PoolRange, RangeError};
pub use refusal::{Refusal, SharingObstacle};
pub use requests::{Reading, RequestError, ServiceClass, claim_of};
pub use selector::{Selector, SelectorError};
pub use status::held_allocations;
pub(crate) use status::{overwritten, owns_addresses, status_addresses};
