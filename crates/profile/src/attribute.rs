//! Attributes of runs: how they are called, what they are, and where they are found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Kind;

/// `[[experiment.attributes]]`: a fact that is kept of each run. Of its sources the first
/// that says something counts, in the order in which they stand here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AttributeDef {
    /// Its name in lists, expressions and messages. A number called `events` is also the run's number of events, where the DAQ announces none.
    pub name: String,
    /// What its value is. One that is not what it should be is kept as text.
    #[serde(default)]
    pub kind: Kind,
    /// Unit such as `V`; empty: none.
    #[serde(default)]
    pub unit: String,
    /// What it is, for people.
    #[serde(default)]
    pub description: String,
    /// Path in the ODB at the end of the run's last MIDAS file. A compressed file is decoded whole for it.
    #[serde(default)]
    pub odb_end: String,
    /// Path in the ODB at the begin of the run's first MIDAS file, such as `/Configurations/Pedestal` or `/Equipment/HV/Variables/Demand[3]`.
    #[serde(default)]
    pub odb_begin: String,
    /// JSON pointer into the run's file `experiment.metadata-file`, such as `/trigger/mode`.
    #[serde(default)]
    pub metadata: String,
    /// Attribute of the DAQ's announcement; `run_type` and `events` are its own fields.
    #[serde(default)]
    pub message: String,
    /// Field of the file name's template, such as `stream` in `{stream}/{run}.bin`.
    #[serde(default)]
    pub file_name: String,
}

/// Where a value is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source<'a> {
    /// A path in the ODB at the end.
    OdbEnd(&'a str),
    /// A path in the ODB at the begin.
    OdbBegin(&'a str),
    /// A JSON pointer into the metadata file.
    Metadata(&'a str),
    /// A field of the DAQ's announcement.
    Message(&'a str),
    /// A field of the file's name.
    FileName(&'a str),
}

impl AttributeDef {
    /// Its sources, the one that counts most first.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        let all = [
            Source::OdbEnd(&self.odb_end),
            Source::OdbBegin(&self.odb_begin),
            Source::Metadata(&self.metadata),
            Source::Message(&self.message),
            Source::FileName(&self.file_name),
        ];
        all.into_iter().filter(|source| !source.place().is_empty())
    }
}

impl<'a> Source<'a> {
    /// Where in it: the path, the pointer or the field.
    pub fn place(self) -> &'a str {
        match self {
            Self::OdbEnd(place)
            | Self::OdbBegin(place)
            | Self::Metadata(place)
            | Self::Message(place)
            | Self::FileName(place) => place,
        }
    }

    /// The key of the configuration that names it.
    pub fn key(self) -> &'static str {
        match self {
            Self::OdbEnd(_) => "odb-end",
            Self::OdbBegin(_) => "odb-begin",
            Self::Metadata(_) => "metadata",
            Self::Message(_) => "message",
            Self::FileName(_) => "file-name",
        }
    }
}
