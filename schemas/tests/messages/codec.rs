//! What the codec promises.

use std::fmt::Debug;

use aquifer_schemas::{
    AlertSignal, CodecError, DeadLetter, Decoder, FileStored, Message, RunClosed, RunOpened,
    RunStored, encode, frame_with_id, schemas,
};
use proptest::prelude::*;

use crate::samples;

fn round_trip<M: Message + PartialEq + Debug>(message: &M) {
    let bytes = encode(message).unwrap();
    assert_eq!(&Decoder::new().decode::<M>(&bytes).unwrap(), message);
}

#[test]
fn every_message_comes_back_as_it_was_sent() {
    round_trip(&samples::run_opened());
    round_trip(&samples::run_closed());
    round_trip(&samples::file_stored());
    round_trip(&samples::run_stored());
    round_trip(&samples::purge_order());
    round_trip(&samples::purged());
    round_trip(&samples::alert_signal());
    round_trip(&samples::slow_sample());
    round_trip(&samples::events_taken());
    round_trip(&samples::dead_letter());
}

#[test]
fn a_missing_value_is_not_a_number_on_the_wire_and_in_json() {
    let mut sample = samples::slow_sample();
    sample.values.insert("dead".to_owned(), f64::NAN);
    let bytes = encode(&sample).unwrap();
    let back: aquifer_schemas::SlowSample = Decoder::new().decode(&bytes).unwrap();
    assert!(back.values["dead"].is_nan());
    let json = serde_json::to_string(&back).unwrap();
    assert!(json.contains(r#""dead":"NaN""#), "{json}");
    let read: aquifer_schemas::SlowSample = serde_json::from_str(&json).unwrap();
    assert!(read.values["dead"].is_nan());
}

#[test]
fn the_bytes_are_avro_single_objects() {
    let bytes = encode(&samples::run_opened()).unwrap();
    let fingerprint = RunOpened::schema().fingerprint;
    assert_eq!(bytes[..2], [0xC3, 0x01]);
    assert_eq!(bytes[2..10], fingerprint.to_le_bytes());
    // The datum begins with the id: a string of 36 bytes, zigzag 72.
    assert_eq!(bytes[10], 72);
    assert_eq!(
        &bytes[11..47],
        samples::run_opened().event_id.to_string().as_bytes()
    );
}

#[test]
fn a_count_beyond_a_long_is_refused_not_wrapped() {
    let mut event = samples::run_opened();
    event.run = i64::MAX as u64 + 1;
    let error = encode(&event).unwrap_err();
    assert!(matches!(error, CodecError::Encode { .. }), "{error}");
    assert!(error.to_string().contains("9223372036854775808"), "{error}");
    event.run = i64::MAX as u64;
    round_trip(&event);
}

#[test]
fn a_message_of_another_kind_is_refused_by_name() {
    let bytes = encode(&samples::run_opened()).unwrap();
    let error = Decoder::new().decode::<RunClosed>(&bytes).unwrap_err();
    let text = error.to_string();
    assert_eq!(
        text,
        "expected a message `aquifer.RunClosed`, found `aquifer.RunOpened`"
    );
}

#[test]
fn what_cannot_be_a_message_says_why() {
    let decoder = Decoder::new();
    let mut bytes = encode(&samples::run_opened()).unwrap();
    let cut = decoder.decode::<RunOpened>(&bytes[..20]).unwrap_err();
    assert!(matches!(cut, CodecError::Datum { .. }), "{cut}");
    let head = decoder.decode::<RunOpened>(&bytes[..9]).unwrap_err();
    assert!(matches!(
        head,
        CodecError::Truncated {
            length: 9,
            needed: 10
        }
    ));
    let json = decoder.decode::<RunOpened>(b"{}").unwrap_err();
    assert_eq!(
        json.to_string(),
        "the bytes begin with [7b, 7d], which is neither c3 01 nor 00"
    );
    assert!(matches!(
        decoder.decode::<RunOpened>(b""),
        Err(CodecError::Framing(_))
    ));
    bytes.push(0);
    let long = decoder.decode::<RunOpened>(&bytes).unwrap_err();
    assert!(matches!(long, CodecError::Trailing { bytes: 1, .. }));
    bytes[2..10].copy_from_slice(&7u64.to_le_bytes());
    let unknown = decoder.decode::<RunOpened>(&bytes).unwrap_err();
    assert!(matches!(unknown, CodecError::UnknownFingerprint(7)));
}

#[test]
fn a_name_that_would_escape_a_path_is_refused() {
    let good = encode(&samples::file_stored()).unwrap();
    let name = b"run00042.mid.gz";
    let at = good
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    let mut evil = good;
    evil[at] = b'/';
    let error = Decoder::new().decode::<FileStored>(&evil).unwrap_err();
    assert!(error.to_string().contains("is not a file name"), "{error}");
}

#[test]
fn a_claimed_length_does_not_become_memory() {
    let mut bytes = encode(&samples::run_opened()).unwrap();
    bytes.truncate(10);
    // A string of 64 MiB, zigzag and varint.
    bytes.extend_from_slice(&[0x80, 0x80, 0x80, 0x40]);
    let error = Decoder::new().decode::<RunOpened>(&bytes).unwrap_err();
    assert!(error.to_string().contains("allocate"), "{error}");
}

/// The schema of `RunOpened` as another version might have it.
fn other_version(edit: impl FnOnce(&mut Vec<serde_json::Value>)) -> String {
    let mut schema: serde_json::Value = serde_json::from_str(RunOpened::schema().json).unwrap();
    let Some(serde_json::Value::Array(fields)) = schema.get_mut("fields") else {
        panic!("a record has fields");
    };
    edit(fields);
    schema.to_string()
}

/// The header of a single object that was written with a schema.
fn header(json: &str) -> Vec<u8> {
    let fingerprint = Decoder::new().learn(json).unwrap();
    [[0xC3, 0x01].as_slice(), &fingerprint.to_le_bytes()].concat()
}

fn write_with(json: &str, fields: &[(&str, apache_avro::types::Value)]) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(json).unwrap();
    let mut record = apache_avro::types::Record::new(&schema).unwrap();
    for (name, value) in fields {
        record.put(name, value.clone());
    }
    let mut bytes = header(json);
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema);
    bytes.extend(writer.build().unwrap().write_value_to_vec(record).unwrap());
    bytes
}

#[test]
fn other_versions_are_read_once_their_schema_is_learnt() {
    use apache_avro::types::Value;
    let sample = samples::run_opened();
    let old = other_version(|fields| fields.retain(|field| field["name"] != "run_type"));
    let new = other_version(|fields| {
        let field = serde_json::json!({"name": "weather", "type": "string", "default": ""});
        fields.insert(2, field);
    });
    let common = [
        ("event_id", Value::Uuid(sample.event_id)),
        ("site", Value::String("LNGS".to_owned())),
        ("run", Value::Long(42)),
        ("version", Value::Long(0)),
        (
            "started_at",
            Value::TimestampMicros(sample.started_at.as_microsecond()),
        ),
        ("attributes", Value::Map(std::collections::HashMap::new())),
        ("producer", Value::String("old".to_owned())),
    ];
    let mut more = common.to_vec();
    more.push(("weather", Value::String("rain".to_owned())));
    let run_type = Value::Union(1, Box::new(Value::String("pedestal".to_owned())));
    more.push(("run_type", run_type));

    for (schema, fields, run_type) in [
        (&old, common.to_vec(), None),
        (&new, more, Some("pedestal".to_owned())),
    ] {
        let bytes = write_with(schema, &fields);
        let decoder = Decoder::new();
        let error = decoder.decode::<RunOpened>(&bytes).unwrap_err();
        let CodecError::UnknownFingerprint(fingerprint) = error else {
            panic!("{error}");
        };
        assert_eq!(decoder.learn(schema).unwrap(), fingerprint);
        let event = decoder.decode::<RunOpened>(&bytes).unwrap();
        assert_eq!(event.run_type, run_type);
        assert_eq!(event.event_id, sample.event_id);
        assert_eq!(event.started_at, sample.started_at);

        // The same datum framed as a registry frames it.
        let framed = [&[0, 0, 0, 1, 2], &bytes[10..]].concat();
        let unknown = decoder.decode::<RunOpened>(&framed).unwrap_err();
        assert!(
            matches!(unknown, CodecError::UnknownSchemaId(258)),
            "{unknown}"
        );
        decoder.learn_id(258, schema).unwrap();
        assert_eq!(decoder.decode::<RunOpened>(&framed).unwrap(), event);
    }
}

#[test]
fn a_word_of_a_later_version_is_unknown_or_refused_but_never_another_word() {
    let json = RunClosed::schema()
        .json
        .replace("\"inferred\"", "\"inferred\", \"oracle\"");
    let decoder = Decoder::new();
    decoder.learn(&json).unwrap();
    let mut bytes = encode(&samples::run_closed()).unwrap();
    // `closed_by` stands behind the run type: symbol 3 is `oracle` for the later writer.
    let at = bytes
        .windows(8)
        .position(|window| window == b"pedestal")
        .unwrap()
        + 8;
    assert_eq!(bytes[at], 4, "symbol 2, zigzag");
    bytes[at] = 6;
    bytes[..10].copy_from_slice(&header(&json));
    let event = decoder.decode::<RunClosed>(&bytes).unwrap();
    assert_eq!(event.closed_by, aquifer_schemas::ClosedBy::Unknown);

    let json = FileStored::schema()
        .json
        .replace("\"zstd\"", "\"zstd\", \"xz\"");
    decoder.learn(&json).unwrap();
    let mut bytes = encode(&samples::file_stored()).unwrap();
    bytes[..10].copy_from_slice(&header(&json));
    let key = samples::stored_file().key;
    let at = bytes
        .windows(key.len())
        .position(|window| window == key.as_bytes())
        .unwrap();
    bytes[at + key.len()] = 6;
    let error = decoder.decode::<FileStored>(&bytes).unwrap_err();
    assert!(error.to_string().contains("unknown"), "{error}");
}

#[test]
fn a_schema_that_could_hang_a_reader_is_not_learnt() {
    let decoder = Decoder::new();
    let recursive = r#"{"type": "record", "name": "aquifer.RunOpened", "fields": [
        {"name": "next", "type": ["null", "aquifer.RunOpened"], "default": null}]}"#;
    let error = decoder.learn(recursive).unwrap_err();
    assert!(error.to_string().contains("contains itself"), "{error}");

    // Each record holds the one before it twice: 2^20 parts.
    let mut inner = r#"{"type": "record", "name": "R0", "fields": []}"#.to_owned();
    for level in 1..20 {
        let before = level - 1;
        inner = format!(
            r#"{{"type": "record", "name": "R{level}", "fields": [
                {{"name": "a", "type": {inner}}}, {{"name": "b", "type": "R{before}"}}]}}"#
        );
    }
    let error = decoder.learn(&inner).unwrap_err();
    assert!(error.to_string().contains("parts"), "{error}");

    assert!(decoder.learn("\"string\"").is_err());
    assert!(decoder.learn("{").is_err());
}

#[test]
fn names_topics_and_fingerprints_are_distinct() {
    let all = schemas();
    for (index, schema) in all.iter().enumerate() {
        assert!(schema.name.starts_with("aquifer."));
        for other in &all[index + 1..] {
            assert_ne!(schema.fingerprint, other.fingerprint);
            assert_ne!(schema.name, other.name);
        }
    }
    assert_eq!(samples::run_stored().key(), "LNGS/42");
    assert_eq!(samples::dead_letter().key(), "aquifer.daq.run-closed/3/77");
    assert_eq!(RunStored::TOPIC, "aquifer.store.run-stored");
    assert_eq!(AlertSignal::NAME, "aquifer.AlertSignal");
    assert_eq!(DeadLetter::TOPIC, "aquifer.dead-letter");
}

proptest! {
    #[test]
    fn no_bytes_bring_the_decoder_down(
        good in 0..2usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        tail in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let decoder = Decoder::new();
        let later = other_version(|fields| {
            fields.push(serde_json::json!({"name": "x", "type": "long", "default": 0}));
        });
        let fingerprint = decoder.learn(&later).unwrap();
        let mut bytes = encode(&samples::run_opened()).unwrap();
        if good == 1 {
            bytes[2..10].copy_from_slice(&fingerprint.to_le_bytes());
        }
        for (at, value) in edits {
            let at = 10 + at.index(bytes.len() - 10);
            bytes[at] = value;
        }
        bytes.extend_from_slice(&tail);
        let _ = decoder.decode::<RunOpened>(&bytes);
        let _ = decoder.decode::<RunOpened>(&tail);
    }

    #[test]
    fn any_event_comes_back(
        run in 0..=i64::MAX as u64,
        version in any::<u32>(),
        micros in -1_000_000_000_000_000i64..4_000_000_000_000_000,
        run_type in prop::option::of(".*"),
        attributes in prop::collection::btree_map(".{0,20}", ".{0,20}", 0..5),
        value in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let started_at = jiff::Timestamp::from_microsecond(micros).unwrap();
        let opened = RunOpened { run, version, run_type, attributes, started_at, ..samples::run_opened() };
        round_trip(&opened);
        round_trip(&DeadLetter { value, attempts: version, ..samples::dead_letter() });
    }
}

#[test]
fn a_single_object_is_framed_for_readers_of_a_registry() {
    let event = samples::run_opened();
    let single = encode(&event).unwrap();
    let framed = frame_with_id(&single, 0x0102_0304).unwrap();
    assert_eq!(framed[..5], [0, 1, 2, 3, 4], "00 and the id, big end first");
    assert_eq!(framed[5..], single[10..], "the datum as it was");
    let decoder = Decoder::new();
    decoder
        .learn_id(0x0102_0304, RunOpened::schema().json)
        .unwrap();
    assert_eq!(decoder.decode::<RunOpened>(&framed).unwrap(), event);
    for other in [framed.as_slice(), b"", b"\xC3\x01short", b"{}"] {
        assert_eq!(frame_with_id(other, 1), None, "{other:?}");
    }
}
