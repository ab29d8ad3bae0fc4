//! Where a run's bytes go: counted, digested, and cut off where the DAQ dies.

use std::io::{self, Write};

use aquifer_digest::{Crc32c, Digester};

/// Passes bytes on until an appointed byte, and fails from there on.
pub(crate) struct Sink<W> {
    inner: W,
    digester: Digester,
    /// Bytes until the crash.
    left: Option<u64>,
    crashed: bool,
}

impl<W: Write> Sink<W> {
    /// Crashes after `crash_at` bytes, where given.
    pub(crate) fn new(inner: W, crash_at: Option<u64>) -> Self {
        Self {
            inner,
            digester: Digester::new(),
            left: crash_at,
            crashed: false,
        }
    }

    /// Whether the appointed byte was reached.
    pub(crate) fn crashed(&self) -> bool {
        self.crashed
    }

    /// Bytes that got through, and their checksum.
    pub(crate) fn size_and_crc32c(&self) -> (u64, Crc32c) {
        let digests = self.digester.finish();
        (digests.size, digests.crc32c)
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let through = match self.left {
            Some(left) if left < bytes.len() as u64 => &bytes[..left as usize],
            _ => bytes,
        };
        self.inner.write_all(through)?;
        self.digester.update(through);
        if let Some(left) = &mut self.left {
            *left -= through.len() as u64;
        }
        if through.len() < bytes.len() {
            self.crashed = true;
            return Err(io::Error::other("the simulated DAQ died"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_at_its_byte() {
        let mut bytes = Vec::new();
        let mut sink = Sink::new(&mut bytes, Some(12));
        assert!(sink.write_all(b"12345678").is_ok());
        assert!(sink.write_all(b"9123456").is_err());
        assert!(sink.crashed());
        assert_eq!(sink.size_and_crc32c().0, 12);
        assert_eq!(bytes, b"123456789123");
    }

    #[test]
    fn without_a_crash_all_goes_through() {
        let mut bytes = Vec::new();
        let mut sink = Sink::new(&mut bytes, None);
        sink.write_all(b"123456789").unwrap();
        assert!(!sink.crashed());
        // The check value of CRC-32C (RFC 3720 appendix B.4 uses the same polynomial).
        assert_eq!(sink.size_and_crc32c(), (9, Crc32c(0xe306_9283)));
        assert_eq!(bytes, b"123456789");
    }
}
