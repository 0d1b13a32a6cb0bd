use futures::future::BoxFuture;
use std::{fmt::Debug, sync::Arc, time::Duration};

/// Time, injected so that tests decide when it passes.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Microseconds since 1970 in UTC.
    fn now_us(&self) -> i64;

    /// A monotonic reading; only differences mean anything.
    fn monotonic(&self) -> Duration;

    /// Resolves once `delay` has passed on this clock.
    fn sleep(&self, delay: Duration) -> BoxFuture<'static, ()>;
}

/// The clock as components share it.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// The machine's clock, shared.
    pub fn shared() -> SharedClock {
        Arc::new(Self { started: std::time::Instant::now() })
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        chrono::Utc::now().timestamp_micros()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, delay: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(delay))
    }
}
