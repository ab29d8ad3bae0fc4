//! What the bytes themselves say: of an object and of a file in the buffer.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use aquifer_digest::Digester;
use aquifer_storage::{ObjectKey, S3Element, StorageElement as _};

/// The object's CRC-64/NVME and CRC-32C: of its bytes if they are to be read, else the
/// former as reported.
pub(super) async fn checksums(
    element: &S3Element,
    key: &str,
    read_back: bool,
) -> anyhow::Result<(Option<String>, Option<String>)> {
    let key: ObjectKey = key.parse()?;
    if read_back {
        let read = element.read_back(&key).await?;
        let (crc64nvme, crc32c) = (read.crc64nvme.to_string(), read.crc32c.to_string());
        return Ok((Some(crc64nvme), Some(crc32c)));
    }
    let info = element.head(&key).await?;
    let crc64nvme = info.and_then(|info| info.crc64nvme);
    Ok((crc64nvme.map(|crc64nvme| crc64nvme.to_string()), None))
}

/// CRC-64/NVME of a file of the buffer, if it is to be read and has not gone meanwhile.
pub(super) fn digest(path: &Path, read: bool) -> anyhow::Result<Option<String>> {
    if !read {
        return Ok(None);
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let mut digester = Digester::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut chunk);
        match read.with_context(|| path.display().to_string())? {
            0 => return Ok(Some(digester.finish().crc64nvme.to_string())),
            bytes => digester.update(&chunk[..bytes]),
        }
    }
}
