//! An object store that dies after so many operations: the operation fails, with or without having taken effect, and so does everything after it.

use async_trait::async_trait;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::*;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// The store.
#[derive(Debug, Clone)]
pub struct Dying {
    inner: Arc<dyn ObjectStore>,
    left: Arc<AtomicI64>,
    /// Whether the fatal write takes effect although it is reported as failed.
    effect: bool,
    /// Whether only that operation fails, and later ones go through.
    once: bool,
}

impl Dying {
    /// Dies at operation `left` (from 0).
    pub fn new(inner: Arc<dyn ObjectStore>, left: i64, effect: bool) -> Self {
        Dying { inner, left: Arc::new(AtomicI64::new(left)), effect, once: false }
    }

    /// Fails at operation `left` (from 0), and works again.
    pub fn once(inner: Arc<dyn ObjectStore>, left: i64, effect: bool) -> Self {
        Dying { once: true, ..Dying::new(inner, left, effect) }
    }

    /// Whether it died.
    pub fn died(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// Counts an operation: whether it goes through, and whether it takes effect.
    fn step(&self) -> (bool, bool) {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        let goes = left > 0 || (self.once && left < 0);
        (goes, goes || (left == 0 && self.effect))
    }
}

fn dead() -> Error {
    Error::Generic { store: "dying", source: "the process was killed here".into() }
}

impl fmt::Display for Dying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dying")
    }
}

#[async_trait]
impl ObjectStore for Dying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (goes, effect) = self.step();
        let result = if effect { self.inner.put_opts(location, payload, opts).await } else { Err(dead()) };
        if goes { result } else { Err(dead()) }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if !self.step().0 {
            return Err(dead());
        }
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !self.step().0 {
            return Err(dead());
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        if !self.step().0 {
            return Err(dead());
        }
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let each = move |location: Result<Path>| {
            let this = this.clone();
            async move {
                let (goes, effect) = this.step();
                let location = location?;
                if effect {
                    this.inner.delete(&location).await?;
                }
                if goes { Ok(location) } else { Err(dead()) }
            }
        };
        locations.then(each).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if !self.step().0 {
            return futures::stream::once(async { Err(dead()) }.boxed()).boxed();
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        if !self.step().0 {
            return Err(dead());
        }
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if !self.step().0 {
            return Err(dead());
        }
        self.inner.copy_opts(from, to, options).await
    }
}

/// A store that waits, once, before it writes an object: another writer goes first.
#[derive(Debug)]
pub struct Meeting {
    inner: Arc<dyn ObjectStore>,
    path: String,
    waits: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

impl Meeting {
    /// The store; what says that it waits; what lets it go on.
    pub fn new(inner: Arc<dyn ObjectStore>, path: &str) -> (Meeting, oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((met, wait), (go, gone)) = (oneshot::channel(), oneshot::channel());
        (Meeting { inner, path: path.to_string(), waits: Mutex::new(Some((met, gone))) }, wait, go)
    }
}

impl fmt::Display for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meeting")
    }
}

#[async_trait]
impl ObjectStore for Meeting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let waits =
            if location.as_ref().ends_with(&self.path) { self.waits.lock().expect("no panic").take() } else { None };
        if let Some((met, gone)) = waits {
            met.send(()).expect("somebody waits");
            gone.await.expect("somebody lets it go on");
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
