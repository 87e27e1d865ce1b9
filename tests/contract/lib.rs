//! What every adapter of a port must do: one check for each sentence of `app::ports`.
//!
//! Read [`Subject`] first, then [`wal`], [`objects`], [`state`], [`topic`] and [`messenger`]. Each module has one
//! `async fn` a check and one macro that makes a test of each: `tests::wal_contract!(subject)`, where the expression
//! gives a new, empty adapter every time.
//!
//! Invariants:
//! - A check knows the port only as `dyn`, never the adapter behind it.
//! - What a port leaves open (lazy forgetting, short pages) is left open here.

pub mod messenger;
pub mod objects;
pub mod random;
pub mod state;
pub mod state_histories;
pub mod state_limits;
mod subject;
pub mod topic;
pub mod wal;

pub use subject::Subject;

/// Makes a test of each named check of a module.
#[macro_export]
macro_rules! checks {
    ($subject:expr, $module:ident, [$($name:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::$module::$name($subject).await;
            }
        )*
    };
}
