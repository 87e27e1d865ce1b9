//! The flows, the ports they stand on, and the HTTP router.
//!
//! Read [`ports`] first, then [`App`].

pub mod ports;
