//! The tests of the whole: architecture, contracts, and the product driven from outside.

mod architecture;
mod contract;
mod cost;
