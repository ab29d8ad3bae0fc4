//! From a file on disk to decoded bytes.
//!
//! Gives out everything that comes before a damage of the compressed form, then an error
//! that carries [`BrokenEncoding`]; a disk or server that fails stays that error. Files
//! of several members, frames or streams are read to their end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::{Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

use crate::encoding::Encoding;
use crate::lz4::Lz4Decoder;

/// Compressed bytes are read in pieces of this size.
const READ_AHEAD: usize = 128 << 10;

/// Why a stream cannot be decoded at all.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The first bytes could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Recognised, and not decoded by this version.
    #[error("it is {0}, which cannot be decoded here")]
    Unsupported(Encoding),
}

/// Why a file cannot be opened.
#[derive(Debug, Error)]
#[error("cannot open {}: {source}", path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What is in the way.
    pub source: DecodeError,
}

/// The compressed form is damaged. Travels inside an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{encoding} data are broken around byte {compressed_offset}: {reason}")]
pub struct BrokenEncoding {
    /// The encoding.
    pub encoding: Encoding,
    /// Compressed bytes taken until then.
    pub compressed_offset: u64,
    /// What the decoder said.
    pub reason: String,
}

/// Opens a run file and decodes it.
pub fn open(path: &Path) -> Result<Decoded<File>, OpenError> {
    let failed = |source| OpenError {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(|error| failed(error.into()))?;
    decode(file).map_err(failed)
}

/// Decodes a stream by its first bytes.
pub fn decode<R: Read>(mut inner: R) -> Result<Decoded<R>, DecodeError> {
    let mut head = Vec::with_capacity(Encoding::MAGIC_BYTES);
    inner
        .by_ref()
        .take(Encoding::MAGIC_BYTES as u64)
        .read_to_end(&mut head)?;
    let encoding = Encoding::detect(&head);
    let whole = Cursor::new(head).chain(inner);
    let source = |whole| Source {
        inner: BufReader::with_capacity(READ_AHEAD, whole),
        taken: 0,
        failed: false,
    };
    let decoder = match encoding {
        Encoding::Identity => Decoder::Identity(whole),
        Encoding::Gzip => Decoder::Gzip(MultiGzDecoder::new(source(whole))),
        Encoding::Bzip2 => Decoder::Bzip2(MultiBzDecoder::new(source(whole))),
        Encoding::Lz4 => Decoder::Lz4(Lz4Decoder::new(source(whole))),
        Encoding::Zstd => Decoder::Zstd(zstd::Decoder::with_buffer(source(whole))?),
        Encoding::Xz => return Err(DecodeError::Unsupported(encoding)),
    };
    Ok(Decoded {
        encoding,
        decoder,
        ended: false,
    })
}

/// The decoded bytes of a stream. Ends after an error.
pub struct Decoded<R: Read> {
    encoding: Encoding,
    decoder: Decoder<R>,
    ended: bool,
}

enum Decoder<R: Read> {
    Identity(Chain<Cursor<Vec<u8>>, R>),
    Gzip(MultiGzDecoder<Source<R>>),
    Bzip2(MultiBzDecoder<Source<R>>),
    Lz4(Lz4Decoder<Source<R>>),
    Zstd(zstd::Decoder<'static, Source<R>>),
}

impl<R: Read> Decoded<R> {
    /// How the stream is encoded.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Compressed bytes decoded so far; `None` where the stream is not compressed.
    pub fn compressed_offset(&self) -> Option<u64> {
        self.source().map(|source| source.taken)
    }

    fn source(&self) -> Option<&Source<R>> {
        match &self.decoder {
            Decoder::Identity(_) => None,
            Decoder::Gzip(decoder) => Some(decoder.get_ref()),
            Decoder::Bzip2(decoder) => Some(decoder.get_ref()),
            Decoder::Lz4(decoder) => Some(decoder.get_ref()),
            Decoder::Zstd(decoder) => Some(decoder.get_ref()),
        }
    }

    /// Tells damage from a source that failed.
    fn classify(&self, error: io::Error) -> io::Error {
        match self.source() {
            Some(source) if !source.failed => io::Error::new(
                io::ErrorKind::InvalidData,
                BrokenEncoding {
                    encoding: self.encoding,
                    compressed_offset: source.taken,
                    reason: error.to_string(),
                },
            ),
            _ => error,
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let result = match &mut self.decoder {
            Decoder::Identity(decoder) => decoder.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Bzip2(decoder) => decoder.read(buffer),
            Decoder::Lz4(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.ended = true;
                Err(self.classify(error))
            }
            Ok(count) => {
                self.ended = count == 0;
                Ok(count)
            }
        }
    }
}

/// Where compressed bytes come from: counts them and remembers whether it failed.
struct Source<R> {
    inner: BufReader<Chain<Cursor<Vec<u8>>, R>>,
    taken: u64,
    failed: bool,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self
            .inner
            .read(buffer)
            .inspect_err(|error| self.failed |= error.kind() != io::ErrorKind::Interrupted)?;
        self.taken += count as u64;
        Ok(count)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner
            .fill_buf()
            .inspect_err(|error| self.failed |= error.kind() != io::ErrorKind::Interrupted)
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.taken += count as u64;
    }
}
