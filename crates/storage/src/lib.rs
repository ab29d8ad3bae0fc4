//! Storage elements behind one trait: S3, POSIX; and objects as local files.
//!
//! A file is read once: the same pass feeds all checksums and the upload. Nothing is
//! overwritten, nothing half-written is ever visible, and what is stored comes with
//! evidence of how far it may be trusted. Memory is bounded by the configured part
//! size and number of parts in flight. Retries, rows and messages are left to the
//! services.

mod download;
mod element;
mod error;
mod growing;
mod key;
mod pool;
mod posix;
mod rehearsal;
mod s3;
mod source;

pub use download::{DownloadError, DownloadOptions, Proven, Wanted, download};
pub use element::{
    ByteChunks, Capabilities, ListedObject, ObjectInfo, Pace, Pages, PutOutcome, StorageElement,
    StoreOptions, StoredObject, UnfinishedUpload, Verify,
};
pub use error::{Found, StorageError};
pub use growing::{GrowingUpload, GrowingUploads, ListedPart, PartReceipt, StoredBytes};
pub use key::{KeyError, ObjectKey, ObjectMeta};
pub use posix::{PosixConfig, PosixElement};
pub use rehearsal::Rehearsal;
pub use s3::{Races, S3Config, S3Element, UnsignedPayload, WebIdentity};
pub use source::{SourceFile, Tap, open_regular};
