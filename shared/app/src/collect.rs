//! The collect flow: what CloudWatch measured becomes samples.
//!
//! Read [`CloudWatch`] first: the port that only this flow has.

mod port;

pub use port::{
    Answer, Answered, CloudWatch, DataPage, LISTING_DIMENSIONS_MAX, Listing, Metric, MetricPage, POINTS_MAX,
    QUERIES_MAX, Query,
};
