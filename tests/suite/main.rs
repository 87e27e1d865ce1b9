//! The tests of the whole: architecture, contracts, and the product driven from outside.

mod architecture;
mod aws_told;
mod contract;
mod cost;
