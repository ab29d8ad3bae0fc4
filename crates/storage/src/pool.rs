//! Reused buffers for parts on their way.
//!
//! There are never more buffers out than the pool was made for: who wants one waits.
//! That bounds the memory of an element whatever its callers do, and spares the page
//! faults of fresh memory, which cost more than the checksums.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lends buffers.
#[derive(Debug)]
pub(crate) struct BufferPool {
    idle: Mutex<Vec<Vec<u8>>>,
    permits: Arc<Semaphore>,
    usual: usize,
}

impl BufferPool {
    /// Lends at most `buffers` at a time and keeps up to `usual` bytes of each.
    pub(crate) fn new(buffers: usize, usual: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(buffers)),
            usual,
        })
    }

    /// Waits until a buffer is free. Who waits first is served first.
    pub(crate) async fn take(self: &Arc<Self>) -> Buffer {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("nobody closes the pool's semaphore");
        let bytes = self.idle().pop().unwrap_or_default();
        Buffer {
            bytes,
            filled: 0,
            pool: Arc::clone(self),
            _permit: permit,
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A list of buffers is whole at any moment, also after a panic elsewhere.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lent buffer. It returns to its pool when it, or the last of the [`Bytes`] made of
/// it, is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    pool: Arc<BufferPool>,
    _permit: OwnedSemaphorePermit,
}

impl Buffer {
    /// Room for `size` bytes with whatever was there before.
    pub(crate) fn room(&mut self, size: usize) -> &mut [u8] {
        // Growing only: memory that was once touched is not cleared again.
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        }
        &mut self.bytes[..size]
    }

    /// Says how many bytes of the room hold data.
    pub(crate) fn set_filled(&mut self, size: usize) {
        self.filled = size;
    }

    /// The bytes, to be shared and sent.
    pub(crate) fn share(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        // The parts of an enormous file must not stay for ever.
        bytes.truncate(self.pool.usual);
        bytes.shrink_to(self.pool.usual);
        self.pool.idle().push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn no_more_buffers_are_out_than_allowed_and_memory_is_reused() {
        let pool = BufferPool::new(2, 8);
        let mut first = pool.take().await;
        first.room(100).fill(7);
        first.set_filled(100);
        let shared = first.share();
        let copy = shared.clone();
        let _second = pool.take().await;
        assert!(pool.take().now_or_never().is_none());
        drop(shared);
        assert!(pool.take().now_or_never().is_none(), "still shared");
        drop(copy);
        let third = pool.take().now_or_never().unwrap();
        assert_eq!((third.bytes.len(), third.filled), (8, 0));
        assert_eq!(third.bytes, [7; 8]);
    }
}
