use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;

/// Bytes that may be held in memory at once by everything that shares this budget.
///
/// A request larger than the whole budget is granted when nothing else is held, so that one huge row can still pass.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
    freed: Notify,
}

/// A part of a budget; dropping it gives the bytes back.
#[derive(Debug)]
pub struct Share {
    inner: Arc<Inner>,
    bytes: usize,
}

impl ByteBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { inner: Arc::new(Inner { limit, used: AtomicUsize::new(0), freed: Notify::new() }) }
    }

    /// Takes `bytes` if they are free now.
    pub fn try_take(&self, bytes: usize) -> Option<Share> {
        let inner = &self.inner;
        let taken = inner.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            (used == 0 || used.saturating_add(bytes) <= inner.limit).then(|| used.saturating_add(bytes))
        });
        taken.ok().map(|_| Share { inner: Arc::clone(inner), bytes })
    }

    /// Waits until `bytes` are free, then takes them. Cancel-safe.
    pub async fn take(&self, bytes: usize) -> Share {
        loop {
            let freed = self.inner.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(share) = self.try_take(bytes) {
                return share;
            }
            freed.await;
        }
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.inner.used.load(Ordering::Acquire)
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.inner.limit
    }
}

impl Share {
    /// Bytes of this share.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.inner.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.inner.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_full_budget_makes_the_next_wait_until_a_share_is_dropped() {
        let budget = ByteBudget::new(10);
        let first = budget.take(8).await;
        let mut second = Box::pin(budget.take(4));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(second.await.bytes(), 4);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn more_than_the_whole_is_granted_alone() {
        let budget = ByteBudget::new(10);
        let huge = budget.take(100).await;
        assert!(budget.try_take(1).is_none());
        drop(huge);
        assert!(budget.try_take(1).is_some());
    }
}
