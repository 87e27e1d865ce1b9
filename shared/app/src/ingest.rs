//! The ingest flow: a push becomes one durable blob, then the sender gets its 2xx.
