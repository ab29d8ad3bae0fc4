//! What is to be fetched and where it goes. Pure.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use aquifer_catalogue::{FileRow, Product, ReplicaRow, RunDetail};
use aquifer_digest::Crc64Nvme;
use aquifer_schemas::{Encoding, ReplicaState, RunId};
use aquifer_storage::Wanted;

use crate::cli::GetArgs;
use crate::failure::Hinted;

/// One file that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub run: RunId,
    /// Its name in the catalogue; of a product its key's last part.
    pub name: String,
    /// Where it goes.
    pub target: PathBuf,
    pub source: Source,
}

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// An object whose bytes are wanted.
    Object(Wanted),
    /// An object that is to be decoded, and what the decoded bytes are.
    Encoded(Wanted, Decoded),
    /// Nowhere, for this reason.
    Missing(String),
}

/// What decoded bytes must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    pub size: u64,
    pub crc64nvme: Crc64Nvme,
}

impl Item {
    /// What lies under the target when all is done.
    pub(super) fn expected(&self) -> Option<Decoded> {
        match &self.source {
            Source::Object(wanted) => Some(Decoded {
                size: wanted.size,
                crc64nvme: wanted.crc64nvme,
            }),
            Source::Encoded(_, decoded) => Some(*decoded),
            Source::Missing(_) => None,
        }
    }

    /// Bytes of disk that it takes while it is fetched.
    pub(super) fn space(&self) -> u64 {
        match &self.source {
            Source::Object(wanted) => wanted.size,
            Source::Encoded(wanted, decoded) => wanted.size.saturating_add(decoded.size),
            Source::Missing(_) => 0,
        }
    }
}

/// The run's own files that are wanted.
pub(super) fn files(detail: &RunDetail, element: &str, args: &GetArgs) -> Vec<Item> {
    let wanted = detail.files.iter().filter(|file| {
        let glob = args.file.as_ref();
        glob.is_none_or(|glob| glob.matches(file.name.as_str()))
    });
    let item = |file: &FileRow| {
        let copies = detail.replicas.iter().filter(|copy| copy.file == file.name);
        let (name, source) = source(file, copies, element, args.decode);
        let run = detail.row.id.clone();
        let target = folder(&run, args).join(&name);
        Item {
            run,
            name: file.name.to_string(),
            target,
            source,
        }
    };
    wanted.map(item).collect()
}

/// The name of a file on the local disk, and where it comes from.
fn source<'a>(
    file: &FileRow,
    copies: impl Iterator<Item = &'a ReplicaRow>,
    element: &str,
    decode: bool,
) -> (String, Source) {
    let plain = file.name.to_string();
    let Some(copy) = copies.into_iter().find(|copy| copy.element == element) else {
        let why = match &file.reason {
            Some(reason) => format!("it is {}: {reason}", file.state),
            None => format!("it is {}: {element} has no copy of it", file.state),
        };
        return (plain, Source::Missing(why));
    };
    let source = || {
        if copy.state != ReplicaState::Available {
            return Err(format!("its copy at {element} is {}", copy.state));
        }
        let unknown = || format!("its copy at {element} has no checksum in the catalogue");
        let crc64nvme = copy.stored_crc64nvme.as_ref().ok_or_else(unknown)?;
        let wanted = Wanted {
            key: copy.location.parse().map_err(|error| format!("{error}"))?,
            size: copy.stored_size,
            crc64nvme: crc64nvme.parse().map_err(|error| format!("{error}"))?,
        };
        if !decode || copy.encoding == Encoding::Identity {
            return Ok(Source::Object(wanted));
        }
        let (Some(size), Some(crc64nvme)) = (file.size, &file.crc64nvme) else {
            return Err("the catalogue does not know what it decodes to".to_owned());
        };
        let crc64nvme = crc64nvme.parse().map_err(|error| format!("{error}"))?;
        Ok(Source::Encoded(wanted, Decoded { size, crc64nvme }))
    };
    let name = if decode {
        plain
    } else {
        encoded_name(plain, copy.encoding)
    };
    (name, source().unwrap_or_else(Source::Missing))
}

/// What a file is called while it is encoded.
fn encoded_name(name: String, encoding: Encoding) -> String {
    let ending = encoding.ending();
    if name.ends_with(ending) {
        name
    } else {
        name + ending
    }
}

/// The newest version of each pass of a level, as far as they are wanted.
pub(super) fn products(
    run: &RunId,
    products: Vec<Product>,
    element: &str,
    args: &GetArgs,
) -> Vec<Item> {
    let level = args.product.as_deref();
    let wanted = products.into_iter().filter(|product| {
        let of_pass = args.pass.as_ref().is_none_or(|pass| *pass == product.pass);
        level == Some(product.level.as_str()) && of_pass
    });
    let mut newest: HashMap<String, Product> = HashMap::new();
    for product in wanted {
        match newest.get(&product.pass) {
            Some(have) if have.version >= product.version => {}
            _ => drop(newest.insert(product.pass.clone(), product)),
        }
    }
    let item = |product: Product| {
        let name = product.location.rsplit('/').next().unwrap_or_default();
        let name = name.to_owned();
        let source = if product.element == element {
            object(&product)
        } else {
            Err(format!("it is at {}, not at {element}", product.element))
        };
        Item {
            run: run.clone(),
            target: folder(run, args).join(&name),
            name,
            source: source.unwrap_or_else(Source::Missing),
        }
    };
    let mut items: Vec<_> = newest.into_values().map(item).collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    let glob = args.file.as_ref();
    items.retain(|item| glob.is_none_or(|glob| glob.matches(&item.name)));
    items
}

fn object(product: &Product) -> Result<Source, String> {
    let (key, crc64nvme) = (product.location.parse(), product.crc64nvme.parse());
    Ok(Source::Object(Wanted {
        key: key.map_err(|error| format!("{error}"))?,
        size: product.size,
        crc64nvme: crc64nvme.map_err(|error| format!("{error}"))?,
    }))
}

/// The folder of a run.
fn folder(run: &RunId, args: &GetArgs) -> PathBuf {
    if args.folders {
        // Sites and numbers are safe in a path.
        args.output.join(run.to_string())
    } else {
        args.output.clone()
    }
}

/// Refuses a plan in which two files go to one place.
pub(super) fn refuse_clashes(items: &[Item]) -> Result<(), Hinted> {
    let mut places: HashMap<&Path, &Item> = HashMap::new();
    for item in items {
        if let Some(other) = places.insert(&item.target, item) {
            let target = item.target.display();
            return Err(Hinted::usage(
                format!("`{target}` would be of {} and of {}", other.run, item.run),
                "`--folders` gives each run a folder; `--pass` chooses among products",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_encoded_is_called_so() {
        for (name, encoding, expected) in [
            ("run1.mid", Encoding::Identity, "run1.mid"),
            ("run1.mid", Encoding::Gzip, "run1.mid.gz"),
            ("run1.mid.gz", Encoding::Gzip, "run1.mid.gz"),
            ("run1.mid", Encoding::Zstd, "run1.mid.zst"),
        ] {
            assert_eq!(encoded_name(name.to_owned(), encoding), expected);
        }
    }
}
