//! The part of a stream that is in memory: one event and the head of the next.
//!
//! Grows with bytes that really came, never with what was asked for. Bytes are moved
//! only where an event lies across its end, and then no more than were read ahead.

use std::io::{self, Read};

/// Bytes that are read at once, unless an event asks for more.
const READ_AHEAD: usize = 128 << 10;

/// Memory is taken in steps of at least this before the bytes for it have come.
const GROWTH: usize = 1 << 20;

pub(crate) struct Window<R> {
    inner: R,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    /// Nothing more will come.
    ended: bool,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
            begin: 0,
            end: 0,
            ended: false,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.begin..self.end]
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Drops `count` bytes at the front, and gives them out a last time.
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        let begin = self.begin;
        self.begin += count;
        &self.buffer[begin..self.begin]
    }

    /// Reads until at least `wanted` bytes are in the window or the stream has ended.
    ///
    /// # Errors
    /// As the stream; it counts as ended then.
    pub(crate) fn fill(&mut self, wanted: usize) -> io::Result<()> {
        let reach = wanted.max(READ_AHEAD);
        if self.begin + reach > self.buffer.len() {
            self.buffer.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        while !self.ended && self.end - self.begin < wanted {
            let limit = self.begin + reach;
            if self.end == self.buffer.len() {
                let grown = (2 * self.end).max(self.end + GROWTH);
                self.buffer.resize(limit.min(grown), 0);
            }
            let limit = limit.min(self.buffer.len());
            match self.inner.read(&mut self.buffer[self.end..limit]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}
