//! One buffer a thread, borrowed between a read and the write that follows, so that a connection at rest holds none.

use std::cell::RefCell;

/// Bytes moved by one read; also the most that one direction of a connection holds back, and more than any datagram.
pub(super) const SIZE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into_boxed_slice());
}

/// Lends the buffer; its content is left from the last use. `work` must not call this again.
pub(super) fn with<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| work(buffer))
}
