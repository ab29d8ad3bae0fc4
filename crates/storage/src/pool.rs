//! Reused buffers for parts on their way.
//!
//! There are never more buffers out than the pool was made for, and one that is larger
//! than usual counts as several: who wants one waits. That bounds the memory of an
//! element whatever its callers do, and spares the page faults of fresh memory, which
//! cost more than the checksums.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lends buffers.
#[derive(Debug)]
pub(crate) struct BufferPool {
    idle: Mutex<Vec<Vec<u8>>>,
    permits: Arc<Semaphore>,
    buffers: usize,
    usual: usize,
}

impl BufferPool {
    /// Lends at most `buffers` of the `usual` size in bytes at a time.
    pub(crate) fn new(buffers: usize, usual: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(buffers)),
            buffers,
            usual,
        })
    }

    /// The usual size of a buffer in bytes.
    pub(crate) fn usual(&self) -> usize {
        self.usual
    }

    /// Waits until there is room for a buffer of `size` bytes. Who waits first is
    /// served first. One that exceeds the whole pool waits until all others are back.
    pub(crate) async fn take(self: &Arc<Self>, size: usize) -> Buffer {
        let weight = size.div_ceil(self.usual).clamp(1, self.buffers);
        let permits = u32::try_from(weight).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.permits)
            .acquire_many_owned(permits)
            .await
            .expect("nobody closes the pool's semaphore");
        let mut idle = self.idle();
        let bytes = idle.pop().unwrap_or_default();
        // It takes the room of those as well.
        let left = idle.len().saturating_sub(weight - 1);
        idle.truncate(left);
        drop(idle);
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
            self.bytes.reserve_exact(size - self.bytes.len());
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
    use proptest::prelude::*;

    #[tokio::test]
    async fn no_more_buffers_are_out_than_allowed_and_memory_is_reused() {
        let pool = BufferPool::new(2, 100);
        let mut first = pool.take(100).await;
        first.room(100).fill(7);
        first.set_filled(100);
        let shared = first.share();
        let copy = shared.clone();
        let _second = pool.take(1).await;
        assert!(pool.take(1).now_or_never().is_none());
        drop(shared);
        assert!(pool.take(1).now_or_never().is_none(), "still shared");
        drop(copy);
        let third = pool.take(1).now_or_never().unwrap();
        assert_eq!(third.filled, 0);
        assert_eq!(third.bytes, [7; 100]);
    }

    proptest! {
        /// Whatever is asked for, what is out and what is kept stays within the pool,
        /// or within the one buffer that is larger than it.
        #[test]
        fn memory_is_bounded_for_any_sizes(
            sizes in proptest::collection::vec(0usize..900, 1..60),
            kept in proptest::collection::vec(any::<bool>(), 60),
        ) {
            let (buffers, usual) = (4, 100);
            let pool = BufferPool::new(buffers, usual);
            let mut out = Vec::new();
            for (size, kept) in sizes.into_iter().zip(kept) {
                let mut buffer = loop {
                    match pool.take(size).now_or_never() {
                        Some(buffer) => break buffer,
                        None => drop(out.remove(0)),
                    }
                };
                buffer.room(size);
                let lent: usize = out.iter().map(|b: &Buffer| b.bytes.capacity()).sum();
                let idle: usize = pool.idle().iter().map(Vec::capacity).sum();
                let held = lent + idle + buffer.bytes.capacity();
                prop_assert!(held <= (buffers * usual).max(size) , "{held} bytes for {size}");
                if kept {
                    out.push(buffer);
                }
            }
        }
    }
}
