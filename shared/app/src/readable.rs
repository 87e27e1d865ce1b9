//! Rows that cannot be read cost themselves: what else was found is answered, beside a warning.

use model::TenantId;
use tsdb::TsdbError;

use crate::App;
use crate::ports::Row;

/// What could be read, and what to say about the rest.
#[derive(Debug, Default)]
pub(crate) struct Readable<T> {
    /// What could be read.
    pub found: T,
    /// Warnings for whoever asked: one when rows were left out, else none.
    pub warnings: Vec<String>,
}

/// The rows of one answer that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    rows: usize,
    /// The first one's key, and what is wrong with it.
    first: Option<(String, String)>,
}

impl Damaged {
    /// Leaves out a row.
    pub(crate) fn push(&mut self, row: &Row, error: &TsdbError) {
        self.rows += 1;
        self.first.get_or_insert_with(|| (format!("{:?}", row.key), error.to_string()));
    }

    /// Counts and tells once what was left out of an answer.
    pub(crate) fn beside<T>(self, app: &App, tenant: &TenantId, kind: &'static str, found: T) -> Readable<T> {
        let Some((key, error)) = self.first else { return Readable { found, warnings: Vec::new() } };
        let rows = self.rows;
        app.metrics.rows_unreadable(kind, rows);
        tracing::error!(%tenant, kind, rows, key, error, "rows cannot be read and are left out of an answer");
        let warning = match rows {
            1 => format!("one {kind} row cannot be read and is left out"),
            _ => format!("{rows} {kind} rows cannot be read and are left out"),
        };
        Readable { found, warnings: vec![warning] }
    }
}
