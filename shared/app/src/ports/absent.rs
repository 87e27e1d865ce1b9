//! Ports that a host does not bring.
//!
//! A function brings only the ports of its flow: one that takes samples in has no topic and sends no mail. What stands
//! in their place answers `Bug`, since only a flow in the wrong function can ask for it.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};

use super::{
    ByteRange, Delivery, Message, Messenger, Minute, ObjectPage, ObjectStore, PortError, PortResult, Receipt, Row,
    RowKey, RowPage, RowRange, RowWrite, Shard, StateStore, Topic, Wal, WalRead,
};

/// Stands for each of the five ports where a host has none; every call fails as `Bug` and names what is missing.
#[derive(Clone, Copy, Debug)]
pub struct Absent;

fn absent<T>(operation: &'static str) -> PortResult<T> {
    Err(PortError::new(ErrorKind::Bug, operation, "this host was built without the port"))
}

#[async_trait]
impl Wal for Absent {
    async fn append(&self, _: Shard, _: Minute, _: &TenantId, _: Bytes) -> PortResult<()> {
        absent("wal append")
    }

    async fn read(&self, _: Shard, _: Range<Minute>) -> PortResult<WalRead> {
        absent("wal read")
    }

    async fn minutes(&self, _: Shard, _: Range<Minute>) -> PortResult<Vec<Minute>> {
        absent("wal minutes")
    }

    async fn forget_before(&self, _: Shard, _: Minute) -> PortResult<()> {
        absent("wal forget")
    }

    fn size_bytes(&self) -> Option<u64> {
        None
    }
}

#[async_trait]
impl ObjectStore for Absent {
    async fn put_new(&self, _: &str, _: Bytes) -> PortResult<()> {
        absent("object put")
    }

    async fn get(&self, _: &str, _: ByteRange) -> PortResult<Bytes> {
        absent("object get")
    }

    async fn list(&self, _: &str, _: Option<&str>) -> PortResult<ObjectPage> {
        absent("object list")
    }

    async fn delete(&self, _: &str) -> PortResult<()> {
        absent("object delete")
    }

    async fn link(&self, _: &str, _: Duration) -> PortResult<Option<String>> {
        absent("object link")
    }
}

#[async_trait]
impl StateStore for Absent {
    async fn get(&self, _: &RowKey, _: Timestamp) -> PortResult<Option<Row>> {
        absent("state get")
    }

    async fn range(&self, _: &RowRange, _: Timestamp) -> PortResult<RowPage> {
        absent("state range")
    }

    async fn write(&self, _: Vec<RowWrite>, _: Timestamp) -> PortResult<Vec<u64>> {
        absent("state write")
    }

    async fn put_many(&self, _: Vec<(RowKey, Bytes, Option<Timestamp>)>, _: Timestamp) -> PortResult<()> {
        absent("state put many")
    }
}

#[async_trait]
impl Topic for Absent {
    async fn publish(&self, _: Vec<Message>) -> PortResult<()> {
        absent("topic publish")
    }

    async fn wake(&self, _: Timestamp, _: Timestamp) -> PortResult<()> {
        absent("topic wake")
    }
}

#[async_trait]
impl Messenger for Absent {
    async fn deliver(&self, _: &Delivery) -> PortResult<Receipt> {
        absent("messenger deliver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_port_says_which_one_it_is() {
        let now = Timestamp::default();
        let key = RowKey::new("p", "s");
        let errors = [
            Wal::read(&Absent, Shard::default(), 0..1).await.unwrap_err(),
            Absent.list("", None).await.unwrap_err(),
            StateStore::get(&Absent, &key, now).await.unwrap_err(),
            Absent.publish(Vec::new()).await.unwrap_err(),
        ];
        let names = ["wal read", "object list", "state get", "topic publish"];
        for (error, name) in errors.into_iter().zip(names) {
            assert_eq!(error.kind(), ErrorKind::Bug);
            assert_eq!(error.to_string(), format!("{name}: this host was built without the port"));
        }
    }
}
