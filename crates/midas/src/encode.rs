//! The way back: a run's bytes, compressed as the logger or a site does it.

use std::io::{self, Write};

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use thiserror::Error;

use crate::encoding::Encoding;

/// An encoding that is not written by this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is not written here")]
pub struct UnwritableEncoding(pub Encoding);

/// Encodes what is written to it. Only [`Self::finish`] makes the stream whole.
pub struct Encoder<W: Write> {
    inner: Inner<W>,
}

enum Inner<W: Write> {
    Identity(W),
    Gzip(Box<GzEncoder<W>>),
    Bzip2(Box<BzEncoder<W>>),
    Lz4(Box<FrameEncoder<W>>),
    Zstd(Box<zstd::Encoder<'static, W>>),
}

impl<W: Write> Encoder<W> {
    /// Begins a stream with each encoding's usual level; LZ4 with the frame that mlogger
    /// writes: linked blocks of 4 MiB and a checksum of the content.
    ///
    /// # Errors
    /// If `encoding` is one that is not written, or zstd has no memory.
    pub fn new(inner: W, encoding: Encoding) -> io::Result<Self> {
        let inner = match encoding {
            Encoding::Identity => Inner::Identity(inner),
            Encoding::Gzip => Inner::Gzip(Box::new(GzEncoder::new(
                inner,
                flate2::Compression::default(),
            ))),
            Encoding::Bzip2 => Inner::Bzip2(Box::new(BzEncoder::new(
                inner,
                bzip2::Compression::default(),
            ))),
            Encoding::Lz4 => {
                let frame = FrameInfo::new()
                    .block_size(BlockSize::Max4MB)
                    .block_mode(BlockMode::Linked)
                    .content_checksum(true);
                Inner::Lz4(Box::new(FrameEncoder::with_frame_info(frame, inner)))
            }
            Encoding::Zstd => Inner::Zstd(Box::new(zstd::Encoder::new(
                inner,
                zstd::DEFAULT_COMPRESSION_LEVEL,
            )?)),
            Encoding::Xz => {
                let refused = UnwritableEncoding(encoding);
                return Err(io::Error::new(io::ErrorKind::Unsupported, refused));
            }
        };
        Ok(Self { inner })
    }

    /// Ends the stream and gives back what it was written to.
    pub fn finish(self) -> io::Result<W> {
        match self.inner {
            Inner::Identity(inner) => Ok(inner),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Bzip2(encoder) => encoder.finish(),
            Inner::Lz4(encoder) => encoder.finish().map_err(io::Error::from),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }

    fn sink(&mut self) -> &mut dyn Write {
        match &mut self.inner {
            Inner::Identity(sink) => sink,
            Inner::Gzip(sink) => sink,
            Inner::Bzip2(sink) => sink,
            Inner::Lz4(sink) => sink,
            Inner::Zstd(sink) => sink,
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink().flush()
    }
}
