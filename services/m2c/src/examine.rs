//! Reads a file of the buffer whole: what it decodes to, and whether it ends as it must.
//!
//! Compressed files say only here whether they are whole, and whether they are another
//! form of a file that is stored. A file that changed meanwhile says nothing. The file
//! is opened without following links and without waiting for a pipe.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aquifer_digest::{
    Algorithm, Digester, Digests, FileIdentity, PIECE, Seal, SealedFile, SumDigester,
};
use aquifer_midas::{BrokenEncoding, DecodeError};
use aquifer_schemas::Encoding;
use nix::fcntl::OFlag;

/// What reading a file whole has shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Examined {
    /// It is whole.
    Whole(Whole),
    /// It is not, as far as it goes, and why.
    Broken(FileIdentity, String),
    /// It changed while it was read.
    Changed,
}

/// A file that was read to its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Whole {
    /// The file, before and after.
    pub identity: FileIdentity,
    /// How it is encoded.
    pub encoding: Encoding,
    /// Digests of its bytes.
    pub bytes: Digests,
    /// Digests of what they decode to.
    pub decoded: Digests,
    /// Checksums of the latter that were asked for.
    pub sums: Vec<(Algorithm, String)>,
    /// Digests of its first bytes, as many as were asked for, if it has so many.
    pub begin: Option<Digests>,
}

/// What is to be found out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Question {
    /// Whether its name says that it is compressed.
    pub packed: bool,
    /// More checksums of what a compressed file decodes to.
    pub sums: Vec<Algorithm>,
    /// Of how many bytes at the begin of a plain file digests are wanted.
    pub begin: Option<u64>,
}

/// Opens a regular file; anything else is an error.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, FileIdentity)> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok((file, FileIdentity::from(&metadata)))
}

/// Reads the file under `path` whole. Blocking. Errors are the disk's.
pub(crate) fn examine(path: &Path, question: &Question) -> io::Result<Examined> {
    let (file, before) = open_regular(path)?;
    examine_open(file, before, question)
}

/// Reads a file whole that was opened as `before`, from where it stands. Blocking.
pub(crate) fn examine_open(
    file: File,
    before: FileIdentity,
    question: &Question,
) -> io::Result<Examined> {
    let mut source = Counting {
        file,
        digester: Digester::new(),
        failed: None,
    };
    let read = if question.packed {
        unpack(&mut source, question)
    } else {
        plain(&mut source, question).map(Ok)
    };
    if let Some(error) = source.failed.take() {
        return Err(error);
    }
    let read = read?;
    let after = FileIdentity::from(&source.file.metadata()?);
    Ok(match read {
        Ok(content) => {
            let bytes = source.digester.finish();
            match Seal::open(before).close(after, bytes) {
                Ok(sealed) => Examined::Whole(content.sealed(sealed)),
                Err(_) => Examined::Changed,
            }
        }
        Err(reason) if before == after => Examined::Broken(before, reason),
        Err(_) => Examined::Changed,
    })
}

/// What the bytes of a file amount to.
struct Content {
    encoding: Encoding,
    decoded: Digests,
    sums: Vec<(Algorithm, String)>,
    begin: Option<Digests>,
}

impl Content {
    fn sealed(self, sealed: SealedFile) -> Whole {
        Whole {
            identity: sealed.identity(),
            encoding: self.encoding,
            bytes: sealed.digests(),
            decoded: self.decoded,
            sums: self.sums,
            begin: self.begin,
        }
    }
}

fn plain(source: &mut Counting, question: &Question) -> io::Result<Content> {
    let mut begin = None;
    if let Some(size) = question.begin {
        drain(&mut source.by_ref().take(size))?;
        let digests = source.digester.finish();
        begin = (digests.size == size).then_some(digests);
    }
    drain(source)?;
    Ok(Content {
        encoding: Encoding::Identity,
        decoded: source.digester.finish(),
        sums: Vec::new(),
        begin,
    })
}

/// The content of a compressed file, or why it is not whole.
fn unpack(source: &mut Counting, question: &Question) -> io::Result<Result<Content, String>> {
    let mut decoded = match aquifer_midas::decode(&mut *source) {
        Ok(decoded) => decoded,
        Err(DecodeError::Io(error)) => return Err(error),
        Err(unsupported) => return Ok(Err(unsupported.to_string())),
    };
    let Some(encoding) = word(decoded.encoding()) else {
        return Ok(Err(
            "its name says that it is compressed, its bytes do not".to_owned()
        ));
    };
    let (digests, sums) = match digest(&mut decoded, &question.sums) {
        Ok(digested) => digested,
        Err(error) if is_damage(&error) => return Ok(Err(error.to_string())),
        Err(error) => return Err(error),
    };
    drop(decoded);
    // What follows the end belongs to the file too.
    drain(source)?;
    Ok(Ok(Content {
        encoding,
        decoded: digests,
        sums,
        begin: None,
    }))
}

fn drain(from: &mut impl Read) -> io::Result<()> {
    io::copy(from, &mut io::sink()).map(drop)
}

fn is_damage(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn Error + Send + Sync>::is::<BrokenEncoding>)
        || error.kind() == io::ErrorKind::UnexpectedEof
}

/// How catalogue and messages spell an encoding; `None` for bytes that are not encoded.
fn word(encoding: aquifer_midas::Encoding) -> Option<Encoding> {
    match encoding {
        aquifer_midas::Encoding::Gzip => Some(Encoding::Gzip),
        aquifer_midas::Encoding::Bzip2 => Some(Encoding::Bzip2),
        aquifer_midas::Encoding::Lz4 => Some(Encoding::Lz4),
        aquifer_midas::Encoding::Zstd => Some(Encoding::Zstd),
        aquifer_midas::Encoding::Identity | aquifer_midas::Encoding::Xz => None,
    }
}

fn digest(
    from: &mut impl Read,
    sums: &[Algorithm],
) -> io::Result<(Digests, Vec<(Algorithm, String)>)> {
    let mut digester = Digester::new();
    let mut sums: Vec<_> = sums.iter().map(|sum| SumDigester::new(*sum)).collect();
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                digester.update(&piece[..count]);
                for sum in &mut sums {
                    sum.update(&piece[..count]);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let sums = sums.iter().map(|sum| (sum.algorithm(), sum.finish()));
    Ok((digester.finish(), sums.collect()))
}

/// A file that is digested as it is read, and whose errors are told from the decoder's.
struct Counting {
    file: File,
    digester: Digester,
    failed: Option<io::Error>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(count) => {
                self.digester.update(&buffer[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let copy = match error.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::from(error.kind()),
                };
                self.failed = Some(error);
                Err(copy)
            }
        }
    }
}

#[cfg(test)]
#[path = "examine_tests.rs"]
mod tests;
