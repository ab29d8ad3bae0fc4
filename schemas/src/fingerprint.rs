//! Fingerprints of schemas: CRC-64-AVRO of the parsing canonical form (Avro 1.12,
//! "Parsing Canonical Form for Schemas" and "Schema Fingerprints"), as every other
//! implementation of Avro computes them. Documentation and defaults do not enter.

use apache_avro::Schema;

/// Fingerprint of the empty string, and the polynomial.
const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// The fingerprint of a schema.
pub(crate) fn fingerprint(schema: &Schema) -> u64 {
    crc_64_avro(canonical_form(schema).as_bytes())
}

/// The parsing canonical form. The library strips a logical type from `{"type": "long",
/// "logicalType": …}` but leaves the braces, which the rule `[PRIMITIVES]` forbids and
/// which no other implementation does.
fn canonical_form(schema: &Schema) -> String {
    // No name or symbol holds a quote, so the text can mean nothing else.
    PRIMITIVES
        .iter()
        .fold(schema.canonical_form(), |form, name| {
            form.replace(&format!("{{\"type\":\"{name}\"}}"), &format!("\"{name}\""))
        })
}

fn crc_64_avro(bytes: &[u8]) -> u64 {
    bytes.iter().fold(EMPTY, |fingerprint, byte| {
        (fingerprint >> 8) ^ TABLE[((fingerprint ^ u64::from(*byte)) & 0xff) as usize]
    })
}

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut fingerprint = index as u64;
        let mut bit = 0;
        while bit < 8 {
            fingerprint = (fingerprint >> 1) ^ (EMPTY & (fingerprint & 1).wrapping_neg());
            bit += 1;
        }
        table[index] = fingerprint;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_and_other_implementations_agree() {
        // Avro's own test data (share/test/data/schema-tests.txt).
        assert_eq!(crc_64_avro(b"\"int\""), 0x7275_d51a_3f39_5c8f);
        // fastavro 1.12 and a reading of the specification in Python.
        let of = |json| fingerprint(&Schema::parse_str(json).unwrap());
        let opened = include_str!("../golden/run_opened/082948541ebcf371.avsc");
        let stored = include_str!("../golden/run_stored/74902c5b873ee58a.avsc");
        assert_eq!(of(opened), 0x0829_4854_1ebc_f371);
        assert_eq!(of(stored), 0x7490_2c5b_873e_e58a);
    }

    #[test]
    fn logical_types_do_not_enter() {
        let of = |json| fingerprint(&Schema::parse_str(json).unwrap());
        let plain = r#"{"type": "array", "items": "long"}"#;
        let time =
            r#"{"type": "array", "items": {"type": "long", "logicalType": "timestamp-micros"}}"#;
        assert_eq!(of(plain), of(time));
        assert_eq!(of(r#"{"type": "int"}"#), of("\"int\""));
    }
}
