//! Schemas that came over the wire from writers of other versions.
//!
//! They are refused if they could hang or exhaust a reader: too long, recursive (a
//! datum could then nest without end), or of too many parts once references are
//! followed.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::Name;

use crate::codec::CodecError;
use crate::fingerprint::fingerprint;

/// Bytes of JSON that a schema may have.
const MAX_JSON: usize = 256 << 10;

/// Parts that a schema may have with every reference followed.
const MAX_PARTS: usize = 10_000;

/// A schema of another version, parsed.
pub(crate) struct ForeignSchema {
    pub(crate) name: String,
    pub(crate) fingerprint: u64,
    pub(crate) parsed: Schema,
}

/// Parses a schema that may be used for reading.
pub(crate) fn parse(json: &str) -> Result<ForeignSchema, CodecError> {
    if json.len() > MAX_JSON {
        let reason = format!("{} bytes are more than {MAX_JSON}", json.len());
        return Err(CodecError::Schema(reason));
    }
    let parsed = Schema::parse_str(json).map_err(|error| CodecError::Schema(error.to_string()))?;
    let Schema::Record(record) = &parsed else {
        return Err(CodecError::Schema("it is not a record".to_owned()));
    };
    let name = record.name.to_string();
    Walk::default().walk(&parsed)?;
    Ok(ForeignSchema {
        name,
        fingerprint: fingerprint(&parsed),
        parsed,
    })
}

/// Follows a schema as a reader would, reference by reference.
#[derive(Default)]
struct Walk<'s> {
    defined: HashMap<&'s Name, &'s Schema>,
    open: Vec<&'s Name>,
    parts: usize,
}

impl<'s> Walk<'s> {
    fn walk(&mut self, schema: &'s Schema) -> Result<(), CodecError> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            let reason = format!("it has more than {MAX_PARTS} parts");
            return Err(CodecError::Schema(reason));
        }
        match schema {
            Schema::Array(array) => self.walk(&array.items),
            Schema::Map(map) => self.walk(&map.types),
            Schema::Union(union) => union.variants().iter().try_for_each(|one| self.walk(one)),
            Schema::Record(record) => {
                self.defined.insert(&record.name, schema);
                self.open.push(&record.name);
                let fields = &record.fields;
                fields
                    .iter()
                    .try_for_each(|field| self.walk(&field.schema))?;
                self.open.pop();
                Ok(())
            }
            Schema::Ref { name } if self.open.contains(&name) => {
                Err(CodecError::Schema(format!("`{name}` contains itself")))
            }
            Schema::Ref { name } => match self.defined.get(name).copied() {
                Some(record) => self.walk(record),
                // Enums and fixed values hold no further parts.
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
