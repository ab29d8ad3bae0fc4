//! Keys of objects that another ingester stores, by what is known of a file.

use std::fmt::Write as _;
use std::str::FromStr;

use aquifer_schemas::template::{Part, parts};
use aquifer_schemas::{FileName, RunId};

/// What a key is made of, such as `{site}/run{run:05}.mid.gz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyTemplate(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Site,
    /// The number, with leading zeros up to so many digits.
    Run(usize),
    /// The file's name.
    File,
    /// Its name in the buffer.
    Disk,
}

impl KeyTemplate {
    /// The key of a file.
    pub(crate) fn key(&self, run: &RunId, file: &FileName, disk: &FileName) -> String {
        let mut key = String::new();
        for piece in &self.0 {
            // Writing to a string does not fail.
            let _ = match piece {
                Piece::Text(text) => write!(key, "{text}"),
                Piece::Site => write!(key, "{}", run.site),
                Piece::Run(digits) => write!(key, "{:0digits$}", run.number),
                Piece::File => write!(key, "{file}"),
                Piece::Disk => write!(key, "{disk}"),
            };
        }
        key
    }
}

impl FromStr for KeyTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = |field: &str| {
            format!("`{{{field}}}` is none of {{site}}, {{run}}, {{run:05}}, {{file}} and {{disk}}")
        };
        let piece = |part: &Part<'_>| match part {
            Part::Literal(literal) => Ok(Piece::Text((*literal).to_owned())),
            Part::Field(field) => match (field.name, field.digits) {
                ("site", None) => Ok(Piece::Site),
                ("run", digits) => Ok(Piece::Run(digits.unwrap_or(0))),
                ("file", None) => Ok(Piece::File),
                ("disk", None) => Ok(Piece::Disk),
                _ => Err(unknown(field.text)),
            },
        };
        let parts = parts(text).map_err(unknown)?;
        Ok(Self(parts.iter().map(piece).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_others_are_made_as_they_make_them() {
        let run: RunId = "LNGS/42".parse().unwrap();
        let names = ["run00042.mid", "run00042.mid.gz"].map(|name| name.parse().unwrap());
        let key = |template: &str| {
            let template: KeyTemplate = template.parse().unwrap();
            template.key(&run, &names[0], &names[1])
        };
        assert_eq!(key("{site}/{disk}"), "LNGS/run00042.mid.gz");
        assert_eq!(key("a/run{run:05}.mid.gz"), "a/run00042.mid.gz");
        assert_eq!(key("{run}{file}"), "42run00042.mid");
        for wrong in ["{site", "{day}", "{run:x}", "{run:999}"] {
            assert!(wrong.parse::<KeyTemplate>().is_err(), "{wrong}");
        }
    }
}
