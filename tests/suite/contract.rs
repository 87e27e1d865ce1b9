//! Every adapter passes the contract of its port.

pub(crate) mod aws;

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
            slack_api: "http://localhost/api/".to_owned(),
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
    use tests::wal::Damageable;

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

    /// A bit of the blob turns over in the file.
    fn harmed_wal() -> Damageable {
        let dir = Arc::new(folder());
        let files = Arc::clone(&dir);
        let damage = move |blob: &[u8]| {
            for file in std::fs::read_dir(files.path().join("wal")).expect("the folder of the log") {
                let path = file.expect("a file").path();
                let mut bytes = std::fs::read(&path).expect("a segment");
                if let Some(place) = bytes.windows(blob.len()).position(|window| window == blob) {
                    bytes[place] ^= 1;
                    std::fs::write(path, bytes).expect("a segment");
                    return;
                }
            }
            panic!("no file has the blob");
        };
        Damageable {
            subject: Subject::new(move || -> Arc<dyn Wal> { open(&dir).wal }),
            damage: Box::new(move |entry| {
                damage(&entry.blob);
                Box::pin(std::future::ready(()))
            }),
            blob_bytes: 1000,
        }
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
    mod harmed_wal {
        tests::wal_damage_contract!(super::harmed_wal());
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

mod net {
    use std::collections::BTreeSet;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    use ::net::{NetMessenger, NetSettings};
    use tests::messenger::MessengerSubject;

    /// Answers every request as Slack does that has a place for files, and notes its idempotency key.
    fn serve(listener: &TcpListener, keys: &Mutex<BTreeSet<String>>) {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let key = idempotency_key(&stream).expect("a request");
            keys.lock().expect("nothing panics while it holds the lock").insert(key);
            let address = listener.local_addr().expect("a bound address");
            let body = format!("{{\"ok\":true,\"upload_url\":\"http://{address}/upload\",\"file_id\":\"F1\"}}");
            let head = format!("content-type: application/json\r\ncontent-length: {}\r\nconnection: close", body.len());
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes()).expect("an answer");
        }
    }

    fn idempotency_key(stream: &TcpStream) -> std::io::Result<String> {
        let mut reader = BufReader::new(stream);
        let (mut key, mut body_bytes) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some(("idempotency-key", value)) => key = value.to_owned(),
                Some(("content-length", value)) => body_bytes = value.parse().expect("a number"),
                Some(_) => {}
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        reader.read_exact(&mut vec![0; body_bytes])?;
        Ok(key)
    }

    fn messenger() -> MessengerSubject {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let dead = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a bound address");
        let keys = Arc::new(Mutex::new(BTreeSet::new()));
        let posted = Arc::clone(&keys);
        std::thread::spawn(move || serve(&listener, &posted));
        let dir = tempfile::tempdir().expect("a folder for a test");
        let settings = NetSettings { allow_loopback: true, ..NetSettings::new(dir.path().join("outbox")) };
        let received = move || {
            let mut found = keys.lock().expect("nothing panics while it holds the lock").clone();
            for entry in std::fs::read_dir(dir.path().join("outbox")).into_iter().flatten() {
                let name = entry.expect("a file").file_name().into_string().expect("a name in UTF-8");
                found.insert(name.strip_suffix(".eml").expect("nothing but finished mail").to_owned());
            }
            found
        };
        MessengerSubject {
            messenger: Arc::new(NetMessenger::new(settings)),
            webhook: format!("http://{address}/hook"),
            slack_api: format!("http://{address}/api/"),
            dead_webhook: Some(format!("http://{dead}/secret")),
            received: Box::new(received),
        }
    }

    tests::messenger_contract!(messenger());
}
