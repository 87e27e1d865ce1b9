//! Every adapter passes the contract of its port.

mod memory {
    use std::sync::Arc;

    use app::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
    use app::ports::{ObjectStore, StateStore, Wal};
    use tests::Subject;
    use tests::messenger::MessengerSubject;
    use tests::topic::TopicSubject;

    fn wal() -> Subject<dyn Wal> {
        let wal: Arc<dyn Wal> = Arc::new(MemoryWal::default());
        Subject::new(move || wal.clone())
    }

    fn objects() -> Subject<dyn ObjectStore> {
        let objects: Arc<dyn ObjectStore> = Arc::new(MemoryObjectStore::default());
        Subject::new(move || objects.clone())
    }

    fn state() -> Subject<dyn StateStore> {
        let state: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        Subject::new(move || state.clone())
    }

    fn topic() -> TopicSubject {
        let topic = Arc::new(MemoryTopic::default());
        TopicSubject { topic: topic.clone(), receive: Box::new(move || topic.drain()) }
    }

    fn messenger() -> MessengerSubject {
        let messenger = Arc::new(MemoryMessenger::default());
        let received = messenger.clone();
        MessengerSubject {
            messenger,
            webhook: "http://localhost/hook".to_owned(),
            dead_webhook: None,
            received: Box::new(move || {
                received.deliveries().into_iter().map(|delivery| delivery.idempotency_key).collect()
            }),
        }
    }

    mod wal {
        tests::wal_contract!(super::wal());
    }
    mod objects {
        tests::object_store_contract!(super::objects());
    }
    mod state {
        tests::state_store_contract!(super::state());
    }
    mod topic {
        tests::topic_contract!(super::topic());
    }
    mod messenger {
        tests::messenger_contract!(super::messenger());
    }
}

mod embedded {
    use std::sync::Arc;

    use ::embedded::LocalTopic;
    use app::ports::{ObjectStore, StateStore, Wal};
    use tempfile::TempDir;
    use tests::Subject;
    use tests::topic::TopicSubject;

    /// A data folder of its own, which lives as long as what opens it.
    fn folder() -> TempDir {
        tempfile::tempdir().expect("a folder for a test")
    }

    fn open(dir: &TempDir) -> ::embedded::Store {
        ::embedded::open(dir.path()).expect("a data folder")
    }

    fn wal() -> Subject<dyn Wal> {
        let dir = folder();
        Subject::new(move || -> Arc<dyn Wal> { open(&dir).wal })
    }

    fn objects() -> Subject<dyn ObjectStore> {
        let dir = folder();
        Subject::new(move || -> Arc<dyn ObjectStore> { open(&dir).objects })
    }

    fn state() -> Subject<dyn StateStore> {
        let dir = folder();
        Subject::new(move || -> Arc<dyn StateStore> { open(&dir).state })
    }

    fn topic() -> TopicSubject {
        let topic = Arc::new(LocalTopic::new());
        TopicSubject { topic: topic.clone(), receive: Box::new(move || topic.try_recv(usize::MAX)) }
    }

    mod wal {
        tests::wal_contract!(super::wal());
    }
    mod objects {
        tests::object_store_contract!(super::objects());
    }
    mod state {
        tests::state_store_contract!(super::state());
    }
    mod topic {
        tests::topic_contract!(super::topic());
    }
}
