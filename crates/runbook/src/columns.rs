//! What the columns of a run book are called.

use serde::{Deserialize, Serialize};

/// Names of the columns with a meaning of their own; every other column is an attribute
/// of its run. Compared without regard to case. The defaults are those of the MIDAS
/// logger's run book as CYGNO has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
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
    /// Code of the copy on the DAQ's disk.
    pub local: String,
    /// Code of the copy in object storage.
    pub cloud: String,
    /// Code of the copy on tape.
    pub tape: String,
    /// Code of the reconstruction.
    pub reco: String,
}

impl Default for Columns {
    fn default() -> Self {
        let name = str::to_owned;
        Self {
            run: name("run_number"),
            start: name("start_time"),
            stop: name("stop_time"),
            events: name("number_of_events"),
            description: name("run_description"),
            texts: vec![name("sequence_filename")],
            run_type: name("run_type"),
            size: name("file_size"),
            checksum: name("file_checksum"),
            tag: name("file_s3_tag"),
            local: name("storage_local_status"),
            cloud: name("storage_cloud_status"),
            tape: name("storage_tape_status"),
            reco: name("online_reco_status"),
        }
    }
}

impl Columns {
    /// Whether commas may stand unquoted in this column.
    pub(crate) fn is_text(&self, column: &str) -> bool {
        let same = |name: &String| name.eq_ignore_ascii_case(column);
        same(&self.description) || self.texts.iter().any(same)
    }
}
