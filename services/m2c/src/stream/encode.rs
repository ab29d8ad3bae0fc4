//! From pieces of a file to an object that is made of independent members.
//!
//! Each piece of input becomes one gzip member (RFC 1952 §2.2) or one zstd frame (RFC
//! 8878 §3.1), so that pieces are compressed at the same time, an upload goes on at any
//! of them after a crash, and the object as a whole is an ordinary `.gz` or `.zst`. The
//! same bytes always give the same object: no names, no times.

use std::io::{self, Write};

use aquifer_digest::{Digester, Digests};
use aquifer_schemas::Encoding;
use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};

/// How the pieces of a file are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encoder {
    /// What comes out.
    pub encoding: Encoding,
    /// Effort; without meaning for [`Encoding::Identity`].
    pub level: i32,
}

/// One encoded piece of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    /// Digests of the file's bytes.
    pub input: Digests,
    /// Digests of `body`.
    pub output: Digests,
    /// What goes into the object.
    pub body: Bytes,
}

impl Encoder {
    /// What a key of such an object ends in.
    pub(crate) fn suffix(self) -> &'static str {
        self.encoding.ending()
    }

    /// Whether objects differ from their files.
    pub(crate) fn compresses(self) -> bool {
        self.encoding != Encoding::Identity
    }

    /// Encodes one piece whose digests are known. Blocking: it may take a second.
    pub(crate) fn member(self, input: Digests, bytes: Vec<u8>) -> io::Result<Member> {
        let body = match self.encoding {
            Encoding::Gzip => self.gzip(&bytes)?,
            Encoding::Zstd => self.zstd(&bytes)?,
            Encoding::Identity => {
                return Ok(Member {
                    input,
                    output: input,
                    body: bytes.into(),
                });
            }
            other @ (Encoding::Lz4 | Encoding::Bzip2) => {
                let error = format!("objects are not made as {other}");
                return Err(io::Error::new(io::ErrorKind::Unsupported, error));
            }
        };
        Ok(Member {
            input,
            output: Digests::of(&body),
            body: body.into(),
        })
    }

    fn gzip(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let out = Vec::with_capacity(bytes.len() / 2);
        let level = Compression::new(self.level.unsigned_abs());
        let mut encoder = GzBuilder::new().mtime(0).write(out, level);
        encoder.write_all(bytes)?;
        encoder.finish()
    }

    fn zstd(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut compressor = zstd::bulk::Compressor::new(self.level)?;
        compressor.include_checksum(true)?;
        compressor.compress(bytes)
    }
}

/// Decodes an object as it comes and digests what it holds: of the object, and of the
/// file that it was made from.
pub(crate) struct Decoder {
    stored: Digester,
    inner: Inner,
}

enum Inner {
    Identity(Sink),
    Gzip(Box<flate2::write::MultiGzDecoder<Sink>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
}

struct Sink(Box<Digester>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// Has seen nothing of an object in this encoding.
    pub(crate) fn new(encoding: Encoding) -> io::Result<Self> {
        let sink = Sink(Box::new(Digester::new()));
        let inner = match encoding {
            Encoding::Identity => Inner::Identity(sink),
            Encoding::Gzip => Inner::Gzip(Box::new(flate2::write::MultiGzDecoder::new(sink))),
            Encoding::Zstd => Inner::Zstd(Box::new(zstd::stream::write::Decoder::new(sink)?)),
            other @ (Encoding::Lz4 | Encoding::Bzip2) => {
                let error = format!("objects are not made as {other}");
                return Err(io::Error::new(io::ErrorKind::Unsupported, error));
            }
        };
        Ok(Self {
            stored: Digester::new(),
            inner,
        })
    }

    /// Takes the next bytes of the object.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stored.update(bytes);
        match &mut self.inner {
            Inner::Identity(sink) => sink.write_all(bytes),
            Inner::Gzip(decoder) => decoder.write_all(bytes),
            Inner::Zstd(decoder) => decoder.write_all(bytes),
        }
    }

    /// Digests of the object and of its file. An error if the object breaks off.
    pub(crate) fn finish(self) -> io::Result<(Digests, Digests)> {
        let sink = match self.inner {
            Inner::Identity(sink) => sink,
            Inner::Gzip(decoder) => decoder.finish()?,
            Inner::Zstd(mut decoder) => {
                decoder.flush()?;
                decoder.into_inner()
            }
        };
        Ok((self.stored.finish(), sink.0.finish()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoder; 3] = [
        Encoder {
            encoding: Encoding::Identity,
            level: 1,
        },
        Encoder {
            encoding: Encoding::Gzip,
            level: 6,
        },
        Encoder {
            encoding: Encoding::Zstd,
            level: 3,
        },
    ];

    fn object(encoder: Encoder, pieces: &[Vec<u8>]) -> Vec<u8> {
        let members = pieces
            .iter()
            .map(|piece| encoder.member(Digests::of(piece), piece.clone()).unwrap());
        members.flat_map(|member| member.body.to_vec()).collect()
    }

    /// As any other program would read it.
    fn decoded(encoding: Encoding, object: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        match encoding {
            Encoding::Gzip => {
                flate2::read::MultiGzDecoder::new(object)
                    .read_to_end(&mut bytes)
                    .unwrap();
            }
            Encoding::Zstd => {
                zstd::stream::read::Decoder::new(object)
                    .unwrap()
                    .read_to_end(&mut bytes)
                    .unwrap();
            }
            _ => bytes.extend_from_slice(object),
        }
        bytes
    }

    proptest! {
        #[test]
        fn the_object_is_an_ordinary_file_whatever_the_pieces(
            pieces in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..3000), 1..6),
            cut in 1usize..4000,
        ) {
            for encoder in ALL {
                let object = object(encoder, &pieces);
                prop_assert_eq!(decoded(encoder.encoding, &object), pieces.concat());
                prop_assert_eq!(&object, &self::object(encoder, &pieces), "not the same again");
                let mut decoder = Decoder::new(encoder.encoding).unwrap();
                for chunk in object.chunks(cut) {
                    decoder.update(chunk).unwrap();
                }
                let (stored, file) = decoder.finish().unwrap();
                prop_assert_eq!(stored, Digests::of(&object));
                prop_assert_eq!(file, Digests::of(&pieces.concat()));
            }
        }
    }

    #[test]
    fn a_damaged_object_is_an_error_or_another_file() {
        let bytes: Vec<u8> = (0..50_000u32).map(|n| (n % 251) as u8).collect();
        for encoder in ALL {
            let mut object = object(encoder, std::slice::from_ref(&bytes));
            let middle = object.len() / 2;
            object[middle] ^= 1;
            let mut decoder = Decoder::new(encoder.encoding).unwrap();
            let read = decoder.update(&object).and_then(|()| decoder.finish());
            let same = read.is_ok_and(|(_, file)| file == Digests::of(&bytes));
            assert!(!same, "{encoder:?}");
        }
    }
}
