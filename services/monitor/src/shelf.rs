//! Where products are put: an object is read back before it is recorded, and what was
//! recorded under a name is never replaced.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aquifer_catalogue::{Catalogue, CatalogueError, ElementKind, Product, RunRow};
use aquifer_digest::Crc64Nvme;
use aquifer_runtime::retry::{Classify, ErrorClass};
use aquifer_schemas::RunId;
use aquifer_storage::{ObjectKey, S3Element, StorageElement as _, StorageError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A word that is a part of a product's name, and of its key: 1 to 32 letters, digits,
/// `_`, `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// Not a [`Label`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it has 1 to 32 letters, digits, `_`, `.` or `-`")]
pub struct NotALabel;

/// What a product is called, among those of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductName {
    /// What it is, such as `reco` or `minitree`.
    pub level: Label,
    /// Which reconstruction made it, such as `std` or `pass7`.
    pub pass: Label,
    /// 1 for the first.
    pub version: u32,
}

/// What somebody knows of an object, beyond its place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// Bytes.
    pub size: Option<u64>,
    /// CRC-64/NVME of the bytes.
    pub crc64nvme: Option<Crc64Nvme>,
}

/// A product and its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProduct {
    /// The run.
    pub run: RunId,
    /// The product.
    #[serde(flatten)]
    pub product: Product,
}

/// Why a product is not recorded.
#[derive(Debug, Error)]
pub enum ShelfError {
    /// Only what is configured is known to be looked after.
    #[error("`{url}` does not lie in the configured storage, `{storage}`")]
    Elsewhere {
        /// As given.
        url: String,
        /// `storage.bucket`, with `storage.prefix`.
        storage: String,
    },
    /// The object is not what it is said to be.
    #[error("`{key}` has {what} {found}, not {said}")]
    Differs {
        /// The object.
        key: ObjectKey,
        /// `size` or `crc64nvme`.
        what: &'static str,
        /// What was read.
        found: String,
        /// What was said.
        said: String,
    },
    /// The catalogue cannot, or will not.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The object cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Products of runs: their objects, and their rows. Clones share connections.
#[derive(Debug, Clone)]
pub struct Shelf {
    catalogue: Catalogue,
    element: Arc<S3Element>,
}

impl Shelf {
    /// On this catalogue and this storage.
    pub fn new(catalogue: Catalogue, element: S3Element) -> Self {
        let element = Arc::new(element);
        Self { catalogue, element }
    }

    /// The catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The storage.
    pub fn element(&self) -> &S3Element {
        &self.element
    }

    /// A run that must be there.
    ///
    /// Errors: [`CatalogueError::UnknownRun`].
    pub async fn run(&self, id: &RunId) -> Result<RunRow, CatalogueError> {
        let run = self.catalogue.run(id).await?;
        run.ok_or_else(|| CatalogueError::UnknownRun { run: id.clone() })
    }

    /// Records an object that is there already, at an `s3://` URL, after it was read back
    /// and found to be what is known of it. True if it is new.
    pub async fn adopt(
        &self,
        run: &RunId,
        name: &ProductName,
        url: &str,
        known: Known,
    ) -> Result<(RunProduct, bool), ShelfError> {
        let key = self.element.key_at(url)?;
        let key = key.ok_or_else(|| ShelfError::Elsewhere {
            url: url.to_owned(),
            storage: self.element.url(),
        })?;
        self.run(run).await?;
        let read = self.element.read_back(&key).await?;
        let (size, crc64nvme) = (read.size, read.crc64nvme);
        differs(&key, "size", known.size, &size)?;
        differs(&key, "crc64nvme", known.crc64nvme, &crc64nvme)?;
        self.record(run, name, &key, size, crc64nvme).await
    }

    /// Records an object whose bytes were proven. True if it is new.
    pub async fn record(
        &self,
        run: &RunId,
        name: &ProductName,
        key: &ObjectKey,
        size: u64,
        crc64nvme: Crc64Nvme,
    ) -> Result<(RunProduct, bool), ShelfError> {
        let product = Product {
            level: name.level.to_string(),
            pass: name.pass.to_string(),
            version: name.version,
            element: self.element.name().to_owned(),
            bucket: Some(self.element.location().to_owned()),
            location: key.to_string(),
            size,
            crc64nvme: crc64nvme.to_string(),
        };
        // No ingester may have done so yet.
        let url = self.element.url();
        self.catalogue
            .register_element(self.element.name(), ElementKind::S3, None, &url)
            .await?;
        let new = self.catalogue.record_product(run, &product).await?;
        let run = run.clone();
        Ok((RunProduct { run, product }, new))
    }
}

/// Products of a run, in the order they were recorded; none if there is no such run.
pub async fn products(
    catalogue: &Catalogue,
    run: &RunId,
) -> Result<Vec<RunProduct>, CatalogueError> {
    let products = catalogue.products(run).await?.into_iter();
    let of_run = products.map(|product| RunProduct {
        run: run.clone(),
        product,
    });
    Ok(of_run.collect())
}

impl Classify for ShelfError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Catalogue(error) => error.class(),
            Self::Storage(error) => error.class(),
            Self::Elsewhere { .. } | Self::Differs { .. } => ErrorClass::Permanent,
        }
    }
}

fn differs<T: PartialEq + fmt::Display>(
    key: &ObjectKey,
    what: &'static str,
    said: Option<T>,
    found: &T,
) -> Result<(), ShelfError> {
    match said {
        Some(said) if said != *found => Err(ShelfError::Differs {
            key: key.clone(),
            what,
            found: found.to_string(),
            said: said.to_string(),
        }),
        _ => Ok(()),
    }
}

impl FromStr for Label {
    type Err = NotALabel;

    fn from_str(text: &str) -> Result<Self, NotALabel> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let plain = !text.starts_with('.') && text.bytes().all(good);
        if plain && (1..=32).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotALabel)
        }
    }
}

impl TryFrom<String> for Label {
    type Error = NotALabel;

    fn try_from(text: String) -> Result<Self, NotALabel> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
