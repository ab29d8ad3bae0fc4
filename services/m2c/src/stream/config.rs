//! When an open file is uploaded while it grows, and how objects are compressed.

use aquifer_schemas::Encoding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::encode::Encoder;

/// How objects are made from files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamEncoding {
    /// The same bytes.
    #[default]
    None,
    /// Gzip members, which every program reads.
    Gzip,
    /// Zstd frames: smaller and faster.
    Zstd,
}

/// `[m2c.stream]`: uploading files while the DAQ writes them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StreamConfig {
    /// Whether files are uploaded while they grow. Otherwise they are stored once closed.
    pub enabled: bool,
    /// How objects are compressed: `none`, `gzip` or `zstd`. It holds for every file of `min-size-mib` or more that is not compressed already, streamed or not; keys then end in `.gz` or `.zst`.
    pub encoding: StreamEncoding,
    /// Effort of the compression: 1 to 9 for gzip, 1 to 19 for zstd.
    pub level: i32,
    /// Bytes of the file in one gzip member or zstd frame, in MiB: what is compressed at a time, and what a crash may cost.
    pub part_input_mib: u64,
    /// Smaller files are stored in one pass once they are closed, and not compressed, in MiB.
    pub min_size_mib: u64,
    /// A file is followed only when it has been open for so long, in seconds.
    pub min_age_secs: u64,
    /// Files followed at the same time. Others wait until they are closed.
    pub max_open: usize,
    /// Parts read, compressed and sent at the same time, over all files. Each takes two to three times `part-input-mib` of memory.
    pub parts_in_flight: usize,
    /// Pause between two looks at a growing file, in milliseconds.
    pub poll_ms: u64,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            encoding: StreamEncoding::None,
            level: 3,
            part_input_mib: 8,
            min_size_mib: 64,
            min_age_secs: 5,
            max_open: 4,
            parts_in_flight: 4,
            poll_ms: 250,
        }
    }
}

impl StreamConfig {
    /// How files are encoded, or what is wrong with the configuration.
    pub(crate) fn encoder(&self) -> Result<Encoder, String> {
        let (encoding, most) = match self.encoding {
            StreamEncoding::None => (Encoding::Identity, i32::MAX),
            StreamEncoding::Gzip => (Encoding::Gzip, 9),
            StreamEncoding::Zstd => (Encoding::Zstd, 19),
        };
        if self.level < 1 || self.level > most {
            return Err(format!(
                "m2c.stream.level {} is not one of {encoding} (1 to {most})",
                self.level
            ));
        }
        for (key, value, most) in [
            ("part-input-mib", self.part_input_mib, 512),
            ("max-open", self.max_open as u64, 1024),
            ("parts-in-flight", self.parts_in_flight as u64, 256),
        ] {
            if value == 0 || value > most {
                return Err(format!("m2c.stream.{key} is {value}, not 1 to {most}"));
            }
        }
        Ok(Encoder {
            encoding,
            level: self.level,
        })
    }

    /// Bytes of the file in one member.
    pub(crate) fn member_size(&self) -> usize {
        (self.part_input_mib << 20) as usize
    }

    /// The smallest file that is streamed or compressed, in bytes.
    pub(crate) fn min_size(&self) -> u64 {
        self.min_size_mib << 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_sizes_that_make_no_sense_are_refused() {
        let with = |encoding, level| StreamConfig {
            encoding,
            level,
            ..StreamConfig::default()
        };
        assert!(StreamConfig::default().encoder().is_ok());
        assert!(with(StreamEncoding::Gzip, 9).encoder().is_ok());
        let wrong = with(StreamEncoding::Gzip, 10).encoder().unwrap_err();
        assert!(wrong.contains("10") && wrong.contains("gzip"), "{wrong}");
        assert!(with(StreamEncoding::Zstd, 0).encoder().is_err());
        let no_parts = StreamConfig {
            part_input_mib: 0,
            ..StreamConfig::default()
        };
        assert!(no_parts.encoder().unwrap_err().contains("part-input-mib"));
    }
}
