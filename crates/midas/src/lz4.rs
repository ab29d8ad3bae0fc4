//! LZ4 frames, one after the other, and whether the last one is whole.
//!
//! The decoder takes a file that ends between two blocks for a whole one. So the bytes
//! that it takes are followed here as well, as far as the frame's own structure goes
//! (LZ4 Frame Format 1.6.4): magic number, descriptor, sizes of blocks, end mark.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::FrameDecoder;

/// The highest bit of a block's size tells that it is not compressed.
const BLOCK_SIZE_MASK: u32 = 0x7fff_ffff;

/// Decodes a stream of frames.
pub(crate) struct Lz4Decoder<R: BufRead> {
    /// `None` only while one frame's decoder is exchanged for the next one's.
    decoder: Option<FrameDecoder<Watched<R>>>,
}

impl<R: BufRead> Lz4Decoder<R> {
    pub(crate) fn new(inner: R) -> Self {
        let frame = Frame::BEFORE;
        Self {
            decoder: Some(FrameDecoder::new(Watched { inner, frame })),
        }
    }

    pub(crate) fn get_ref(&self) -> &R {
        let decoder = self.decoder.as_ref();
        &decoder
            .expect("`read` puts a decoder back before it returns")
            .get_ref()
            .inner
    }
}

impl<R: BufRead> Read for Lz4Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let decoder = self
                .decoder
                .as_mut()
                .expect("`read` puts a decoder back before it returns");
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let source = decoder.get_mut();
            let whole = source.frame == Frame::BEFORE;
            if source.inner.fill_buf()?.is_empty() {
                return if whole {
                    Ok(0)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            if !whole {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "frame does not end where it should",
                ));
            }
            // Each frame gets its own: its buffers are made for one size of blocks.
            let used = self.decoder.take();
            self.decoder = used.map(|decoder| FrameDecoder::new(decoder.into_inner()));
        }
    }
}

/// Passes bytes on and follows the frame that they make.
struct Watched<R> {
    inner: R,
    frame: Frame,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.frame.pass(&buffer[..count]);
        Ok(count)
    }
}

/// Where in a frame the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// In magic number and descriptor; before the frame if `found` is 0.
    Head { found: u32, flags: u8 },
    /// In the size of a block.
    Size { found: u32, size: u32, flags: u8 },
    /// In a block, with its checksum.
    Block { left: u64, flags: u8 },
    /// In the checksum of the whole frame.
    Checksum { left: u64 },
}

impl Frame {
    const BEFORE: Self = Self::Head { found: 0, flags: 0 };

    fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let (next, passed) = self.advance(byte, bytes.len() as u64);
            *self = next;
            bytes = &bytes[passed as usize..];
        }
    }

    /// Where the frame is after `byte`, or after more of the `available` bytes where
    /// their values do not matter; and how many that are.
    fn advance(self, byte: u8, available: u64) -> (Self, u64) {
        match self {
            Self::Head { found, flags } => {
                let flags = if found == 4 { byte } else { flags };
                let found = found + 1;
                let next = if found > 4 && found == head_bytes(flags) {
                    Self::Size {
                        found: 0,
                        size: 0,
                        flags,
                    }
                } else {
                    Self::Head { found, flags }
                };
                (next, 1)
            }
            Self::Size { found, size, flags } => {
                let size = size | u32::from(byte) << (8 * found);
                let next = match (found, size & BLOCK_SIZE_MASK) {
                    (0..3, _) => Self::Size {
                        found: found + 1,
                        size,
                        flags,
                    },
                    // The end mark.
                    (_, 0) if flags & 0x04 != 0 => Self::Checksum { left: 4 },
                    (_, 0) => Self::BEFORE,
                    (_, size) => Self::Block {
                        left: u64::from(size) + if flags & 0x10 != 0 { 4 } else { 0 },
                        flags,
                    },
                };
                (next, 1)
            }
            Self::Block { left, flags } => {
                let passed = left.min(available);
                let next = match left - passed {
                    0 => Self::Size {
                        found: 0,
                        size: 0,
                        flags,
                    },
                    left => Self::Block { left, flags },
                };
                (next, passed)
            }
            Self::Checksum { left: 1 } => (Self::BEFORE, 1),
            Self::Checksum { left } => (Self::Checksum { left: left - 1 }, 1),
        }
    }
}

/// Bytes of magic number and descriptor: the size of the content (bit 3) and the id of a
/// dictionary (bit 0) are optional.
fn head_bytes(flags: u8) -> u32 {
    let content_size = if flags & 0x08 != 0 { 8 } else { 0 };
    let dictionary = if flags & 0x01 != 0 { 4 } else { 0 };
    4 + 2 + content_size + dictionary + 1
}
