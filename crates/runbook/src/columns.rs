//! What the columns of a run book are called and mean: data, not code.
//!
//! The defaults stand in `columns.toml`; a file of the same form sets what is different
//! in another book.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

/// The map that is part of the program.
const DEFAULTS: &str = include_str!("columns.toml");

/// A map of columns that cannot be used.
#[derive(Debug, Error)]
#[error("this is no map of columns: {0}")]
pub struct ColumnsError(#[from] toml::de::Error);

/// Names of the columns with a meaning of their own, and what the others are. Compared
/// without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Columns {
    /// The run's number. Required.
    pub run: String,
    /// Begin of the run, local time. Required.
    pub start: String,
    /// End of the run, local time; empty where the DAQ died.
    pub stop: String,
    /// Events taken.
    pub events: String,
    /// Free text, in which commas may stand unquoted.
    pub description: String,
    /// More columns of free text.
    pub texts: Vec<String>,
    /// The DAQ's type of the run.
    pub run_type: String,
    /// Size of the stored file in bytes.
    pub size: String,
    /// MD5 of the stored file, hexadecimal.
    pub checksum: String,
    /// Folder of the stored file in its bucket.
    pub tag: String,
    /// Flag of pedestal runs, which is an attribute too.
    pub pedestal: String,
    /// Code of the copy on the DAQ's disk.
    pub local: String,
    /// Code of the copy in object storage.
    pub cloud: String,
    /// Code of the copy on tape.
    pub tape: String,
    /// Code of the reconstruction.
    pub reco: String,
    /// What the other columns are, by name.
    pub attributes: BTreeMap<String, Meaning>,
}

/// What a column without a place of its own means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Meaning {
    /// What its values are; by what they read as where it is not said.
    pub kind: Option<Kind>,
    /// Their unit.
    pub unit: Option<String>,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Numbers.
    Number,
    /// Yes and no, as 1 and 0.
    Flag,
    /// Text, whatever it reads as.
    Text,
}

impl Default for Columns {
    fn default() -> Self {
        Self::set("").expect("the map that is part of the program is whole, as a test says")
    }
}

impl Columns {
    /// The defaults, with what `text` sets in their place. An attribute is set as a whole.
    pub fn set(text: &str) -> Result<Self, ColumnsError> {
        let mut columns: toml::Table = toml::from_str(DEFAULTS)?;
        for (key, value) in toml::from_str::<toml::Table>(text)? {
            match (columns.get_mut(&key), value) {
                (Some(toml::Value::Table(all)), toml::Value::Table(some)) => all.extend(some),
                (_, value) => {
                    columns.insert(key, value);
                }
            }
        }
        Ok(columns.try_into()?)
    }

    /// What a column without a place of its own means, as far as anybody said.
    pub fn meaning(&self, column: &str) -> Option<&Meaning> {
        let mut known = self.attributes.iter();
        let found = known.find(|(name, _)| name.eq_ignore_ascii_case(column));
        found.map(|(_, meaning)| meaning)
    }

    /// Whether commas may stand unquoted in this column.
    pub(crate) fn is_text(&self, column: &str) -> bool {
        let same = |name: &String| name.eq_ignore_ascii_case(column);
        same(&self.description) || self.texts.iter().any(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_whole_and_can_be_set_one_by_one() {
        let columns = Columns::default();
        assert_eq!(
            columns.meaning("gem1_v").unwrap().unit.as_deref(),
            Some("V")
        );
        assert_eq!(columns.meaning("no_such_column"), None);
        let set = "stop = \"ended\"\n[attributes]\nGEM1_V = { kind = \"text\" }\nflow = {}\n";
        let columns = Columns::set(set).unwrap();
        assert_eq!(
            (columns.run.as_str(), columns.stop.as_str()),
            ("run_number", "ended")
        );
        assert_eq!(columns.meaning("GEM1_V").unwrap().kind, Some(Kind::Text));
        assert_eq!(columns.meaning("GEM1_V").unwrap().unit, None);
        assert_eq!(
            columns.meaning("GEM2_V").unwrap().unit.as_deref(),
            Some("V")
        );
        assert!(columns.meaning("flow").is_some());
    }

    #[test]
    fn a_map_with_something_unknown_is_refused() {
        for wrong in [
            "stopp = \"x\"",
            "[attributes]\nx = { kind = \"colour\" }",
            "stop = 3",
        ] {
            assert!(Columns::set(wrong).is_err(), "{wrong}");
        }
    }
}
