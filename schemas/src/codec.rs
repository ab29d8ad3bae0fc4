//! Messages as bytes, and back.
//!
//! Written: Avro single-object encoding (Avro 1.12, "Single-object encoding"): C3 01,
//! the schema's fingerprint in little-endian order, the datum. Read: that, or the
//! framing of Confluent's registry (00 and a big-endian id), told apart by the first
//! byte. A message of another version is read by the schema that wrote it, once that
//! was learnt, and then translated. Whatever the bytes are, the answer is a message
//! or a typed error, and memory stays below [`MAX_ALLOCATION`] per value. Where to find
//! a schema that is not known here is left to the caller.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use thiserror::Error;

use crate::events::schemas;
use crate::foreign::{self, ForeignSchema};
use crate::message::{Message, MessageSchema};

/// Bytes that one string, array or map of a message may claim. The limit belongs to
/// the Avro library and holds for the whole process.
pub const MAX_ALLOCATION: usize = 16 << 20;

/// Schemas that a [`Decoder`] remembers beyond its own.
pub const MAX_LEARNT: usize = 1024;

const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];
const SINGLE_OBJECT_HEADER: usize = 10;
const CONFLUENT: u8 = 0x00;
const CONFLUENT_HEADER: usize = 5;

/// A message that cannot be written or read, and why.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The first bytes are of no framing that we read.
    #[error("the bytes begin with {0:02x?}, which is neither c3 01 nor 00")]
    Framing(Vec<u8>),
    /// The bytes end within the header.
    #[error("{length} bytes are too few for a header of {needed}")]
    Truncated {
        /// Bytes given.
        length: usize,
        /// Bytes of the header.
        needed: usize,
    },
    /// No schema of this fingerprint is known; it may be learnt.
    #[error("no schema with fingerprint {0:016x} is known")]
    UnknownFingerprint(u64),
    /// No schema of this registry id is known; it may be learnt.
    #[error("no schema with id {0} is known")]
    UnknownSchemaId(u32),
    /// The bytes are another message than the one asked for.
    #[error("expected a message `{expected}`, found `{found}`")]
    WrongMessage {
        /// Name asked for.
        expected: &'static str,
        /// Name found.
        found: String,
    },
    /// The datum does not hold what its schema says, or a value that we refuse.
    #[error("cannot decode a message `{name}`: {reason}")]
    Datum {
        /// Name of the message.
        name: &'static str,
        /// What is wrong with it.
        reason: Box<apache_avro::Error>,
    },
    /// Bytes are left behind the datum.
    #[error("{bytes} bytes follow a message `{name}`")]
    Trailing {
        /// Name of the message.
        name: &'static str,
        /// Bytes left.
        bytes: usize,
    },
    /// The event holds a value that the wire cannot carry.
    #[error("cannot encode a message `{name}`: {reason}")]
    Encode {
        /// Name of the message.
        name: &'static str,
        /// What is wrong with it.
        reason: Box<apache_avro::Error>,
    },
    /// A schema to learn is not one that we may use.
    #[error("cannot learn a schema: {0}")]
    Schema(String),
    /// More than [`MAX_LEARNT`] schemas.
    #[error("more than {MAX_LEARNT} schemas to learn")]
    TooManySchemas,
}

/// Encodes a message with its current schema, as a single object.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, CodecError> {
    let schema = M::schema();
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&SINGLE_OBJECT);
    bytes.extend_from_slice(&schema.fingerprint.to_le_bytes());
    schema
        .writer
        .write_ser(&mut bytes, message)
        .map_err(|error| CodecError::Encode {
            name: M::NAME,
            reason: Box::new(error),
        })?;
    Ok(bytes)
}

/// The fingerprint that a single object names, if the bytes are one.
pub fn fingerprint_of(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.strip_prefix(&SINGLE_OBJECT)?;
    bytes.first_chunk().map(|first| u64::from_le_bytes(*first))
}

/// The message of a single object, framed as readers of a registry expect it, under the
/// `id` that the registry gave to its schema. None if the bytes are no single object.
pub fn frame_with_id(bytes: &[u8], id: u32) -> Option<Vec<u8>> {
    fingerprint_of(bytes)?;
    let datum = &bytes[SINGLE_OBJECT_HEADER..];
    let mut framed = Vec::with_capacity(CONFLUENT_HEADER + datum.len());
    framed.push(CONFLUENT);
    framed.extend_from_slice(&id.to_be_bytes());
    framed.extend_from_slice(datum);
    Some(framed)
}

/// Which schema wrote a datum.
enum Writer {
    Current(&'static MessageSchema),
    Foreign(Arc<ForeignSchema>),
}

/// Reads messages of this version and of every version whose schema it has learnt.
/// Cheap to share: lookups take a read lock only for messages of other versions.
#[derive(Default)]
pub struct Decoder {
    by_fingerprint: RwLock<HashMap<u64, Arc<ForeignSchema>>>,
    by_id: RwLock<HashMap<u32, Arc<ForeignSchema>>>,
}

impl Decoder {
    /// A decoder that knows the current schemas.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the schema of another version; gives its fingerprint.
    pub fn learn(&self, schema_json: &str) -> Result<u64, CodecError> {
        let schema = foreign::parse(schema_json)?;
        let fingerprint = schema.fingerprint;
        remember(&self.by_fingerprint, fingerprint, schema)?;
        Ok(fingerprint)
    }

    /// Remembers the schema that a registry keeps under `id`.
    pub fn learn_id(&self, id: u32, schema_json: &str) -> Result<(), CodecError> {
        remember(&self.by_id, id, foreign::parse(schema_json)?)
    }

    /// Decodes a message `M`, whichever version wrote it.
    ///
    /// [`CodecError::UnknownFingerprint`] and [`CodecError::UnknownSchemaId`] ask for
    /// [`Decoder::learn`] or [`Decoder::learn_id`] and another try.
    pub fn decode<M: Message>(&self, bytes: &[u8]) -> Result<M, CodecError> {
        let (writer, mut datum) = self.open(bytes)?;
        let reader = M::schema();
        match writer {
            Writer::Current(schema) if schema.fingerprint == reader.fingerprint => {
                read(reader, &mut datum)
            }
            Writer::Current(schema) => Err(CodecError::WrongMessage {
                expected: M::NAME,
                found: schema.name.to_owned(),
            }),
            Writer::Foreign(schema) if schema.name == M::NAME => {
                let translated = translate(&schema.parsed, reader, &mut datum)?;
                read(reader, &mut translated.as_slice())
            }
            Writer::Foreign(schema) => Err(CodecError::WrongMessage {
                expected: M::NAME,
                found: schema.name.clone(),
            }),
        }
    }

    /// Reads the header: the schema that wrote the datum, and the datum.
    fn open<'a>(&self, bytes: &'a [u8]) -> Result<(Writer, &'a [u8]), CodecError> {
        let current = &*CURRENT;
        let header = |needed: usize| {
            bytes.split_at_checked(needed).ok_or(CodecError::Truncated {
                length: bytes.len(),
                needed,
            })
        };
        if bytes.first() == Some(&CONFLUENT) {
            let (head, datum) = header(CONFLUENT_HEADER)?;
            let id = head[1..].iter().fold(0, |id, b| (id << 8) | u32::from(*b));
            let writer = recall(&self.by_id, &id).ok_or(CodecError::UnknownSchemaId(id))?;
            // A schema of this version needs no translation, whoever keeps it.
            let writer = match current.get(&writer.fingerprint) {
                Some(schema) if schema.name == writer.name => Writer::Current(schema),
                _ => Writer::Foreign(writer),
            };
            return Ok((writer, datum));
        }
        if !bytes.starts_with(&SINGLE_OBJECT) {
            let start = bytes[..bytes.len().min(SINGLE_OBJECT.len())].to_vec();
            return Err(CodecError::Framing(start));
        }
        let (_, datum) = header(SINGLE_OBJECT_HEADER)?;
        let fingerprint = fingerprint_of(bytes).unwrap_or_default();
        if let Some(schema) = current.get(&fingerprint) {
            return Ok((Writer::Current(schema), datum));
        }
        let writer = recall(&self.by_fingerprint, &fingerprint)
            .ok_or(CodecError::UnknownFingerprint(fingerprint))?;
        Ok((Writer::Foreign(writer), datum))
    }
}

static CURRENT: LazyLock<HashMap<u64, &'static MessageSchema>> = LazyLock::new(|| {
    // The first caller sets the library's limit for the process: before any datum is read.
    apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
    schemas().map(|schema| (schema.fingerprint, schema)).into()
});

/// Reads a datum of the current schema straight into the event.
fn read<M: Message>(schema: &MessageSchema, datum: &mut &[u8]) -> Result<M, CodecError> {
    let event = schema
        .reader
        .read_deser(datum)
        .map_err(|error| wrong_datum(schema.name, error))?;
    finish(schema.name, datum)?;
    Ok(event)
}

/// Writes again with the current schema what another version wrote: fields that it did
/// not know get their defaults, fields and words that we do not know are left out.
fn translate(
    writer: &Schema,
    reader: &MessageSchema,
    datum: &mut &[u8],
) -> Result<Vec<u8>, CodecError> {
    let wrong = |error| wrong_datum(reader.name, error);
    let value = GenericDatumReader::builder(writer)
        .reader_schema(reader.parsed)
        .human_readable(false)
        .build()
        .map_err(wrong)?
        .read_value(datum)
        .map_err(wrong)?;
    finish(reader.name, datum)?;
    reader.writer.write_value_to_vec(value).map_err(wrong)
}

fn wrong_datum(name: &'static str, error: apache_avro::Error) -> CodecError {
    CodecError::Datum {
        name,
        reason: Box::new(error),
    }
}

fn finish(name: &'static str, rest: &[u8]) -> Result<(), CodecError> {
    match rest.len() {
        0 => Ok(()),
        bytes => Err(CodecError::Trailing { name, bytes }),
    }
}

type Learnt<K> = RwLock<HashMap<K, Arc<ForeignSchema>>>;

fn recall<K: Eq + Hash>(learnt: &Learnt<K>, key: &K) -> Option<Arc<ForeignSchema>> {
    // A map is whole after any panic: insertion is one step.
    let learnt = learnt.read().unwrap_or_else(PoisonError::into_inner);
    learnt.get(key).cloned()
}

fn remember<K: Eq + Hash>(
    learnt: &Learnt<K>,
    key: K,
    schema: ForeignSchema,
) -> Result<(), CodecError> {
    let mut learnt = learnt.write().unwrap_or_else(PoisonError::into_inner);
    if learnt.len() >= MAX_LEARNT && !learnt.contains_key(&key) {
        return Err(CodecError::TooManySchemas);
    }
    learnt.insert(key, Arc::new(schema));
    Ok(())
}
