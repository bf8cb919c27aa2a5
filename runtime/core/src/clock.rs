//! The one place where the runtime learns what time it is.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Measures how long something takes.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use std::time::Instant;

/// A page tells no time to what it embeds, unless by bindings that everything in it would have to be made for: nothing takes time there.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl Instant {
    pub(crate) fn now() -> Instant {
        Instant
    }

    pub(crate) fn elapsed(self) -> Duration {
        Duration::ZERO
    }
}

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> i64;

    /// Waits so many microseconds.
    fn pause(&self, micros: i64) -> BoxFuture<'static, ()>;
}

/// The machine's clock; for a page, which has none, another one is to be given.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        // A clock set before 1970 is taken for 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
    }

    fn pause(&self, micros: i64) -> BoxFuture<'static, ()> {
        tokio::time::sleep(Duration::from_micros(u64::try_from(micros).unwrap_or(0))).boxed()
    }
}

/// A clock that stands still, for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedClock(pub i64);

impl Clock for FixedClock {
    fn now(&self) -> i64 {
        self.0
    }

    fn pause(&self, _micros: i64) -> BoxFuture<'static, ()> {
        tokio::task::yield_now().boxed()
    }
}
