//! Files on the local disk: digested, decoded.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::Context as _;
use aquifer_digest::{Digester, Digests};
use aquifer_midas::{Encoding, decode};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Digests a file as it lies there. Blocking.
pub(super) fn digest(path: &Path) -> anyhow::Result<Digests> {
    let open = || -> io::Result<Digests> { digest_all(File::open(path)?, &mut |_| Ok(())) };
    open().with_context(|| path.display().to_string())
}

/// Digests what a file decodes to; `None` if it is not compressed. Blocking.
pub(super) fn digest_decoded(path: &Path) -> anyhow::Result<Option<Digests>> {
    let name = || path.display().to_string();
    let decoded = decode(File::open(path).with_context(name)?).with_context(name)?;
    if decoded.encoding() == Encoding::Identity {
        return Ok(None);
    }
    let digests = digest_all(decoded, &mut |_| Ok(())).with_context(name)?;
    Ok(Some(digests))
}

/// Decodes a file into another, and makes that last. Blocking.
pub(super) fn decode_to(from: &Path, to: &Path) -> anyhow::Result<Digests> {
    let decoded = decode(File::open(from).with_context(|| from.display().to_string())?)
        .with_context(|| from.display().to_string())?;
    let write = || -> io::Result<Digests> {
        let mut file = File::create(to)?;
        let digests = digest_all(decoded, &mut |bytes| file.write_all(bytes))?;
        file.sync_all()?;
        Ok(digests)
    };
    write().with_context(|| to.display().to_string())
}

/// Shows each piece to `tap` while it is digested.
pub(super) fn digest_all(
    mut from: impl Read,
    tap: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Digests> {
    let mut digester = Digester::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(digester.finish()),
            Ok(count) => {
                digester.update(&chunk[..count]);
                tap(&chunk[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Size of a file; `None` if there is none.
pub(super) fn size(path: &Path) -> anyhow::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
