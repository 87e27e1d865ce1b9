//! The adapter under test.

use std::fmt;
use std::sync::Arc;

/// An adapter of the port `P`, and a way to close and open it again as a restart of the process would.
pub struct Subject<P: ?Sized> {
    port: Option<Arc<P>>,
    open: Box<dyn Fn() -> Arc<P> + Send + Sync>,
}

impl<P: ?Sized> Subject<P> {
    /// An adapter that `open` opens, each time with all that was stored before.
    pub fn new(open: impl Fn() -> Arc<P> + Send + Sync + 'static) -> Self {
        Self { port: Some(open()), open: Box::new(open) }
    }

    /// The adapter.
    pub fn port(&self) -> &P {
        self.port.as_deref().expect("it is open but for a moment inside `reopen`")
    }

    /// Another handle to the adapter, for tasks; to be dropped before [`Subject::reopen`].
    pub fn share(&self) -> Arc<P> {
        Arc::clone(self.port.as_ref().expect("it is open but for a moment inside `reopen`"))
    }

    /// Closes the adapter, then opens it again.
    pub fn reopen(&mut self) {
        drop(self.port.take());
        self.port = Some((self.open)());
    }

    /// Closes the adapter, lets something happen to what it has stored, then opens it again.
    pub async fn reopen_after(&mut self, change: impl Future<Output = ()>) {
        drop(self.port.take());
        change.await;
        self.port = Some((self.open)());
    }
}

impl<P: ?Sized> fmt::Debug for Subject<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject")
    }
}
