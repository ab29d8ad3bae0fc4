//! The ODB dump in a begin or end of run.
//!
//! A dump comes as JSON, XML or MIDAS's old text, told apart by the first byte; each
//! gives the same tree. What is wrong inside one is repaired where its meaning is plain,
//! and told; the rest of the tree is good.
//!
//! A dump tells what was set when the file was opened or closed; `State` in it is that
//! of the transition (1 at begin, 3 at end of run) and says nothing of the run.

mod json;
mod node;
mod text;
mod tree;
mod xml;

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

pub use node::OdbNode;

use tree::{Directory, Entry};

/// Damages that are kept of one dump.
const DAMAGES_KEPT: usize = 100;

/// How a dump is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OdbFormat {
    /// The default of today's MIDAS.
    Json,
    /// MIDAS's XML.
    Xml,
    /// The old `.odb` text.
    Text,
}

impl fmt::Display for OdbFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Text => "text",
        })
    }
}

/// Why a dump cannot be used. The event that holds it is no worse for it.
#[derive(Debug, Error)]
pub enum OdbError {
    /// No valid JSON.
    #[error("the ODB dump is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but no directory.
    #[error("the ODB dump is not a JSON object")]
    NoDirectory,
    /// XML or text in which no key was found.
    #[error("no key is found in the ODB dump, which looks like {0}")]
    NoKeys(OdbFormat),
}

/// Something in a dump that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OdbDamage {
    /// What it is.
    pub kind: OdbDamageKind,
    /// Where, in bytes from the start of the dump; of the text that it stands for where
    /// the dump is no UTF-8.
    pub offset: usize,
}

/// The kinds of damage in a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OdbDamageKind {
    /// A number with a decimal comma, as a host's locale makes it. Read as a point.
    DecimalComma,
    /// The value is not of the key's type. Kept as text.
    NotOfType(String),
    /// Not understood, and left out.
    Unknown,
    /// The dump ends in the middle, or goes on as nothing that is known.
    CutShort,
}

impl fmt::Display for OdbDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.kind {
            OdbDamageKind::DecimalComma => "number with a decimal comma",
            OdbDamageKind::NotOfType(value) => {
                return write!(
                    f,
                    "ODB dump at byte {}: {value:?} is not of its key's type",
                    self.offset
                );
            }
            OdbDamageKind::Unknown => "not understood",
            OdbDamageKind::CutShort => "cut short",
        };
        write!(f, "ODB dump at byte {}: {what}", self.offset)
    }
}

/// The raw bytes of a dump, without the NUL that may end them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OdbDump<'a> {
    /// How it is written.
    pub format: OdbFormat,
    /// As it lies in the file.
    pub bytes: &'a [u8],
}

impl<'a> OdbDump<'a> {
    /// Tells the format by the first byte. An empty payload is no dump.
    pub fn detect(payload: &'a [u8]) -> Option<Self> {
        let bytes = payload.strip_suffix(b"\0").unwrap_or(payload);
        let format = match bytes.first()? {
            b'{' => OdbFormat::Json,
            b'<' => OdbFormat::Xml,
            _ => OdbFormat::Text,
        };
        Some(Self { format, bytes })
    }

    /// Reads the dump.
    pub fn parse(&self) -> Result<Odb, OdbError> {
        match self.format {
            OdbFormat::Json => Odb::from_json(self.bytes),
            OdbFormat::Xml => Odb::from_xml(self.bytes),
            OdbFormat::Text => Odb::from_text(self.bytes),
        }
    }
}

/// A dump that was read: a tree of directories and values, in the dump's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Odb {
    root: Entry,
    damages: Vec<OdbDamage>,
}

impl Odb {
    /// Reads a JSON dump. ODB strings may hold bytes of any encoding; those that are no
    /// UTF-8 become U+FFFD.
    pub fn from_json(bytes: &[u8]) -> Result<Self, OdbError> {
        let mut damages = Damages::default();
        let root = json::read(&String::from_utf8_lossy(bytes), &mut damages)?;
        Ok(Self::new(root, damages))
    }

    /// Reads an XML dump: ISO 8859-1 as it declares, or UTF-8 as ODB strings often are.
    pub fn from_xml(bytes: &[u8]) -> Result<Self, OdbError> {
        let mut damages = Damages::default();
        let root = xml::read(&latin1_unless_utf8(bytes), &mut damages);
        Self::unless_empty(root, damages, OdbFormat::Xml)
    }

    /// Reads a dump in the format of `.odb` files.
    pub fn from_text(bytes: &[u8]) -> Result<Self, OdbError> {
        let mut damages = Damages::default();
        let root = text::read(&latin1_unless_utf8(bytes), &mut damages);
        Self::unless_empty(root, damages, OdbFormat::Text)
    }

    /// Looks a path such as `/Runinfo/Run number` or `/Equipment/HV/Variables/Demand[3]`
    /// up. As in MIDAS, upper and lower case are the same. Links are not followed.
    pub fn get(&self, path: &str) -> Option<OdbNode<'_>> {
        let (path, index) = split_index(path);
        let mut components = path.split('/').filter(|component| !component.is_empty());
        let entry = components.try_fold(&self.root, |entry, name| match entry {
            Entry::Directory(directory) => directory.find(name),
            Entry::Key(_) => None,
        })?;
        let node = OdbNode::new(entry);
        match index {
            Some(index) => node.item(index),
            None => Some(node),
        }
    }

    /// What was not as it should be; of very many only the first.
    pub fn damages(&self) -> &[OdbDamage] {
        &self.damages
    }

    fn new(root: Directory, damages: Damages) -> Self {
        Self {
            root: Entry::Directory(root),
            damages: damages.kept,
        }
    }

    fn unless_empty(
        root: Directory,
        damages: Damages,
        format: OdbFormat,
    ) -> Result<Self, OdbError> {
        if root.is_empty() {
            return Err(OdbError::NoKeys(format));
        }
        Ok(Self::new(root, damages))
    }
}

/// Collects the damages of one dump.
#[derive(Debug, Default)]
struct Damages {
    kept: Vec<OdbDamage>,
}

impl Damages {
    fn note(&mut self, offset: usize, kind: OdbDamageKind) {
        if self.kept.len() < DAMAGES_KEPT {
            self.kept.push(OdbDamage { kind, offset });
        }
    }
}

/// Takes `[3]` off the end of a path.
fn split_index(path: &str) -> (&str, Option<usize>) {
    let parts = path
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['));
    match parts.map(|(path, index)| (path, index.parse())) {
        Some((path, Ok(index))) => (path, Some(index)),
        _ => (path, None),
    }
}

fn latin1_unless_utf8(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_the_first_byte() {
        let format = |bytes| OdbDump::detect(bytes).map(|dump| dump.format);
        assert_eq!(format(b"{}\0"), Some(OdbFormat::Json));
        assert_eq!(format(b"<?xml version"), Some(OdbFormat::Xml));
        assert_eq!(format(b"[System]"), Some(OdbFormat::Text));
        assert_eq!(format(b""), None);
        assert_eq!(format(b"\0"), None);
        let xml = OdbDump::detect(b"<odb/>\0").unwrap();
        assert_eq!(xml.bytes, b"<odb/>");
        assert!(matches!(xml.parse(), Err(OdbError::NoKeys(OdbFormat::Xml))));
    }

    #[test]
    fn the_same_tree_comes_from_each_format() {
        let json = br#"{ "Runinfo" : { "Run number/key" : { "type" : 7 }, "Run number" : 407,
            "Start/key" : { "type" : 6 }, "Start" : "0x6225c855" },
            "HV" : { "Demand/key" : { "type" : 9, "num_values" : 2 },
            "Demand" : [ 4.0000000e+02, "NaN" ], "On/key" : { "type" : 8 }, "On" : true,
            "Name/key" : { "type" : 12 }, "Name" : "a <b> & c" } }"#;
        let xml = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<odb root=\"/\">
            <dir name=\"Runinfo\"><key name=\"Run number\" type=\"INT\">407</key>
            <key name=\"Start\" type=\"DWORD\">1646643285</key></dir>
            <dir name=\"HV\"><keyarray name=\"Demand\" type=\"FLOAT\" num_values=\"2\">
            <value index=\"0\">400</value><value index=\"1\">nan</value></keyarray>
            <key name=\"On\" type=\"BOOL\">y</key>
            <key name=\"Name\" type=\"STRING\" size=\"32\">a &lt;b&gt; &amp; c</key></dir></odb>";
        let text = b"[Runinfo]\nRun number = INT : 407\nStart = DWORD : 1646643285\n\n[HV]\n\
            Demand = FLOAT[2] :\n[0] 400\n[1] nan\nOn = BOOL : y\nName = STRING : [32] a <b> & c\n";
        for dump in [&json[..], xml, text] {
            let odb = OdbDump::detect(dump).unwrap().parse().unwrap();
            let at = |path| odb.get(path).unwrap();
            assert_eq!(at("/Runinfo/Run number").as_i64(), Some(407));
            assert_eq!(at("/runinfo/START").as_u64(), Some(1_646_643_285));
            assert_eq!(at("/Runinfo/Start").tid().unwrap().to_string(), "UINT32");
            assert_eq!(at("/HV/Demand").count(), Some(2));
            assert_eq!(at("/HV/Demand[0]").as_f64(), Some(400.0));
            assert!(at("/HV/Demand[1]").as_f64().unwrap().is_nan());
            assert_eq!(at("/HV/On").as_bool(), Some(true));
            assert_eq!(at("/HV/Name").as_str(), Some("a <b> & c"));
            assert!(odb.damages().is_empty(), "{:?}", odb.damages());
            let names: Vec<_> = at("/").names().unwrap().collect();
            assert_eq!(names, ["Runinfo", "HV"]);
        }
    }
}
