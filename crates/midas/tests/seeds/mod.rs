//! Files to begin from, made by our own writer.

use std::io::Write;

use aquifer_midas::{BankFormat, BankName, Encoder, Encoding, EventBuilder, Writer};

/// The encodings that compress.
pub(crate) const COMPRESSIONS: [Encoding; 4] = [
    Encoding::Gzip,
    Encoding::Bzip2,
    Encoding::Lz4,
    Encoding::Zstd,
];

/// Dumps by their formats.
pub(crate) const DUMPS: [(&str, &str); 3] = [
    (
        "json",
        r#"{ "Runinfo" : { "Run number/key" : { "type" : 7 }, "Run number" : 407,
  "Start time binary/key" : { "type" : 6 }, "Start time binary" : "0x6225c855" },
  "Edit/key" : { "type" : 16, "link" : "/Runinfo/Run number" }, "Edit" : 407,
  "Demand/key" : { "type" : 9, "num_values" : 3 },
  "Demand" : [ 4.0000000e+02, "NaN", 2,5000000e+00 ], "On" : true, "Off" : null }"#,
    ),
    (
        "xml",
        r#"<?xml version="1.0" encoding="ISO-8859-1"?>
<!-- created by MXML on Fri Jan  4 10:51:22 2019 -->
<odb root="/" filename="run1.xml"><dir name="Runinfo" handle="1">
<key name="Run number" type="INT" access="7">407</key>
<keyarray name="Demand" type="FLOAT" num_values="2"><value index="0">400</value><value index="1">2,5</value></keyarray>
<key name="Name" type="STRING" size="32">a &lt;b&gt; &#65;</key><key name="To" type="LINK">/Runinfo</key></dir></odb>"#,
    ),
    (
        "text",
        "[Runinfo]\nRun number = INT : 407\nMask = DWORD : 0x10\n\n[Equipment/HV]\n\
         Names = STRING[2] :\n[32] left\n[32] right\nDemand = FLOAT[2] :\n[0] 400\n[1] 2,5\n\
         Script = STRING : [80] ====#$@$#====\nline 1\nline 2\n====#$@$#====\nOn = BOOL : y\n",
    ),
];

/// Small files of every kind of event, with their names.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    let [(_, json), (_, xml), (_, text)] = DUMPS;
    let mut all = vec![
        ("bank16", file(json, &[BankFormat::Bank16])),
        ("bank32", file(xml, &[BankFormat::Bank32])),
        ("bank32a", file(text, &[BankFormat::Bank32A])),
    ];
    let mixed = file(json, &[BankFormat::Bank16, BankFormat::Bank32]);
    all.push(("two_runs", [&mixed[..], &mixed[..mixed.len() / 2]].concat()));
    all.push(("mixed", mixed));
    all
}

fn file(dump: &str, formats: &[BankFormat]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer
        .begin_of_run(407, 1000, dump.as_bytes())
        .expect("memory");
    for (serial, format) in formats.iter().enumerate() {
        let mut event = EventBuilder::new(1, *format);
        event.begin(serial as u32, 1001);
        event
            .values(BankName(*b"ADC0"), &[1_u16, 2, 3])
            .expect("it fits");
        event
            .values(BankName(*b"PMT\0"), &[1.5_f32])
            .expect("it fits");
        writer.event(&event).expect("memory");
        writer.raw(0x8002, 2, 0, 1001, b"hello\0").expect("memory");
        writer
            .raw(0xc001, 0, 0, 1002, b"\x08\0\0\0")
            .expect("memory");
        writer.raw(0xd001, 0, 0, 1002, b"fragment").expect("memory");
        writer.raw(2, 0, 0, 1002, b"").expect("memory");
    }
    writer
        .end_of_run(407, 1003, dump.as_bytes())
        .expect("memory");
    writer.into_inner()
}

pub(crate) fn encode(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), encoding).expect("it can be written");
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
