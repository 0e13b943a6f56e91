//! Who owns a host.
