//! File name templates: which files of a buffer belong to which run.
//!
//! A template such as `run{run}.mid`, `run{run:05}sub{subrun:04}.mid` or
//! `{stream}/{run}_{subrun}.blk` matches names with any number of digits, so that run
//! 100000 is found by the template that run 99999 was found by. Fields with other names
//! are letters and digits, for attributes; everything else is matched exactly. A field
//! that stands twice must have one value. What a template does not match is not this
//! run's business.

use aquifer_schemas::template::{Field, Part, parts};
use aquifer_schemas::{FileName, RunNumber};
use thiserror::Error;

/// Why a template cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// It has no place for the run number.
    #[error("file template `{0}` has no `{{run}}`")]
    NoRun(String),
    /// Braces around what is no name of a field.
    #[error(
        "file template `{template}` has a field `{field}` (`run`, `subrun`, or lower-case letters, digits and `_`)"
    )]
    Field {
        /// The template.
        template: String,
        /// What stood between the braces.
        field: String,
    },
    /// Nothing says where one field ends and the next begins.
    #[error("file template `{0}` has two fields side by side")]
    Adjacent(String),
    /// Nothing says where a field of letters ends.
    #[error("file template `{template}` goes on with a letter or digit after `{{{field}}}`")]
    Blurred {
        /// The template.
        template: String,
        /// The field.
        field: String,
    },
    /// It leads out of the buffer, or nowhere.
    #[error("file template `{0}` is not a relative path below the buffer")]
    Path(String),
    /// A pattern of temporary names that is no `prefix*` or `*suffix`.
    #[error("`{0}` is not a pattern of temporary names (`prefix*` or `*suffix`)")]
    Temporary(String),
    /// A marker that does not say whose it is.
    #[error("marker `{0}` has neither `{{name}}` at its begin nor `{{run}}`")]
    Marker(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// The run number, written with at least so many digits.
    Run(usize),
    Subrun(usize),
    /// Letters and digits, by name.
    Text(String),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTemplate {
    text: String,
    pieces: Vec<Piece>,
    of_many: bool,
}

/// What a file name says about its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The run's number.
    pub run: RunNumber,
    /// The ordinal of the file within the run, where the template has one.
    pub subrun: Option<u64>,
}

impl FileTemplate {
    /// Parses a template. A width such as `{run:05}` does not limit what is matched.
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        let unusable = |field: &str| TemplateError::Field {
            template: template.to_owned(),
            field: field.to_owned(),
        };
        let mut pieces = Vec::new();
        for part in parts(template).map_err(unusable)? {
            let piece = match part {
                Part::Literal(literal) => Piece::Literal(literal.to_owned()),
                Part::Field(field) => Piece::of(&field).ok_or_else(|| unusable(field.text))?,
            };
            match (pieces.last(), &piece) {
                (Some(Piece::Text(field)), Piece::Literal(next))
                    if next.starts_with(|c: char| c.is_ascii_alphanumeric()) =>
                {
                    return Err(TemplateError::Blurred {
                        template: template.to_owned(),
                        field: field.clone(),
                    });
                }
                (None | Some(Piece::Literal(_)), _) | (_, Piece::Literal(_)) => {}
                _ => return Err(TemplateError::Adjacent(template.to_owned())),
            }
            pieces.push(piece);
        }
        let mut parsed = Self {
            text: template.to_owned(),
            pieces,
            of_many: false,
        };
        parsed.of_many = parsed.is_numbered() || parsed.folders().iter().any(Self::has_run);
        if !parsed.has_run() {
            return Err(TemplateError::NoRun(template.to_owned()));
        }
        // With digits for its fields it must be a name.
        match parsed.name(1, 1, |_| "1".to_owned()).parse::<FileName>() {
            Ok(_) => Ok(parsed),
            Err(_) => Err(TemplateError::Path(template.to_owned())),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name that it gives to a file; `text` gives its other fields.
    pub fn name(&self, run: RunNumber, subrun: u64, text: impl Fn(&str) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(literal) => literal.clone(),
            Piece::Run(width) => format!("{run:0width$}"),
            Piece::Subrun(width) => format!("{subrun:0width$}"),
            Piece::Text(field) => text(field),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Names of its fields besides `run` and `subrun`.
    pub fn text_fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(field) => Some(field.as_str()),
            _ => None,
        })
    }

    /// Whether a run may have several files of this template, or others beside its one:
    /// they are numbered, or lie in a folder of the run's own.
    pub fn is_of_many(&self) -> bool {
        self.of_many
    }

    fn is_numbered(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|piece| matches!(piece, Piece::Subrun(_)))
    }

    fn has_run(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|piece| matches!(piece, Piece::Run(_)))
    }

    /// Templates of the folders that its files lie in, outermost first.
    pub fn folders(&self) -> Vec<Self> {
        let mut folders = Vec::new();
        let mut pieces = Vec::new();
        for piece in &self.pieces {
            let Piece::Literal(literal) = piece else {
                pieces.push(piece.clone());
                continue;
            };
            for (at, _) in literal.match_indices('/') {
                let mut pieces: Vec<Piece> = pieces.clone();
                pieces.push(Piece::Literal(literal[..at].to_owned()));
                folders.push(Self {
                    text: self.text.clone(),
                    pieces,
                    of_many: false,
                });
            }
            pieces.push(piece.clone());
        }
        folders
    }

    /// Whether a path below the buffer is of this template, which may have no run.
    pub fn is_path(&self, path: &str) -> bool {
        self.read(path, &mut |_, _| {}).is_some()
    }

    /// The run that `name` belongs to, if it is of this template.
    pub fn matches(&self, name: &str) -> Option<Match> {
        let (run, subrun) = self.read(name, &mut |_, _| {})?;
        Some(Match { run: run?, subrun })
    }

    /// What `name` has at a field other than `run` and `subrun`.
    pub fn text_of<'n>(&self, field: &str, name: &'n str) -> Option<&'n str> {
        let mut found = None;
        self.read(name, &mut |of, text| {
            if of == field {
                found = Some(text);
            }
        })?;
        found
    }

    fn read<'n>(
        &self,
        name: &'n str,
        texts: &mut dyn FnMut(&str, &'n str),
    ) -> Option<(Option<RunNumber>, Option<u64>)> {
        let mut rest = name;
        let (mut run, mut subrun) = (None, None);
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Piece::Run(_) | Piece::Subrun(_) => {
                    let digits = head(&mut rest, |c| c.is_ascii_digit());
                    let value: u64 = digits.parse().ok()?;
                    let field = match piece {
                        Piece::Run(_) => &mut run,
                        _ => &mut subrun,
                    };
                    if *field.get_or_insert(value) != value {
                        return None;
                    }
                }
                Piece::Text(field) => {
                    let text = head(&mut rest, |c| c.is_ascii_alphanumeric());
                    let other = seen
                        .iter()
                        .any(|(of, before)| of == field && *before != text);
                    if text.is_empty() || other {
                        return None;
                    }
                    seen.push((field, text));
                }
            }
        }
        if !rest.is_empty() {
            return None;
        }
        for (field, text) in seen {
            texts(field, text);
        }
        Some((run, subrun))
    }
}

impl Piece {
    /// A field that is known, or another name, of letters and digits.
    fn of(field: &Field<'_>) -> Option<Self> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        match (field.name, field.digits) {
            ("run", digits) => Some(Self::Run(digits.unwrap_or(0))),
            ("subrun", digits) => Some(Self::Subrun(digits.unwrap_or(0))),
            ("", _) | (_, Some(_)) => None,
            (name, None) => name
                .chars()
                .all(letter)
                .then(|| Self::Text(name.to_owned())),
        }
    }
}

/// Takes the characters that are `wanted` off the begin of `rest`.
fn head<'n>(rest: &mut &'n str, wanted: impl Fn(char) -> bool) -> &'n str {
    let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    let (head, tail) = rest.split_at(end);
    *rest = tail;
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_of(template: &str, name: &str) -> Option<Match> {
        FileTemplate::parse(template).unwrap().matches(name)
    }

    #[test]
    fn any_number_of_digits_is_found() {
        for (name, run) in [
            ("run00001.mid", 1),
            ("run99999.mid", 99_999),
            ("run100000.mid", 100_000),
            ("run5000000000.mid", 5_000_000_000),
        ] {
            let found = run_of("run{run:05}.mid", name).unwrap();
            assert_eq!(found, Match { run, subrun: None });
        }
    }

    #[test]
    fn subruns_are_files_of_their_run() {
        let found = run_of(
            "run{run:05}sub{subrun:04}.mid.lz4",
            "run00407sub0012.mid.lz4",
        );
        assert_eq!(
            found,
            Some(Match {
                run: 407,
                subrun: Some(12)
            })
        );
    }

    #[test]
    fn a_folder_per_run_is_looked_into_and_no_other() {
        let template = FileTemplate::parse("{run}/raw/run{run:06}_{subrun}.bin").unwrap();
        let found = template.matches("5000000000/raw/run5000000000_12.bin");
        assert_eq!(found.map(|found| found.subrun), Some(Some(12)));
        assert_eq!(template.matches("7/raw/run8_12.bin"), None, "two runs");
        let folders = template.folders();
        let may_hold = |path: &str| folders.iter().any(|folder| folder.is_path(path));
        assert!(may_hold("7") && may_hold("7/raw"));
        for path in ["x", "7/other", "raw", "7/raw/deeper"] {
            assert!(!may_hold(path), "{path}");
        }
        let fixed = FileTemplate::parse("raw/run{run}.mid").unwrap().folders();
        assert!(fixed.len() == 1 && fixed[0].is_path("raw") && !fixed[0].is_path("raw2"));
    }

    #[test]
    fn other_fields_are_letters_and_digits() {
        let template = FileTemplate::parse("HRDL{stream}/{run:010}_{subrun}_{stream}.blk").unwrap();
        let name = "HRDLA/1305853512_7_A.blk";
        assert_eq!(template.matches(name).unwrap().run, 1_305_853_512);
        assert_eq!(template.text_of("stream", name), Some("A"));
        assert_eq!(template.text_of("run", name), None);
        assert_eq!(template.name(1_305_853_512, 7, |_| "A".to_owned()), name);
        for other in [
            "HRDLA/1_7_B.blk",
            "HRDL/1_7_.blk",
            "HRDLA/x_7_A.blk",
            "HRDLA/1_7_A.blk~",
        ] {
            assert_eq!(template.matches(other), None, "{other}");
            assert_eq!(template.text_of("stream", other), None, "{other}");
        }
        assert_eq!(
            template.text_fields().collect::<Vec<_>>(),
            ["stream", "stream"]
        );
    }

    #[test]
    fn a_number_or_a_folder_of_the_run_makes_room_for_several_files() {
        for (template, many) in [
            ("run{run}.mid", false),
            ("raw/run{run}.mid", false),
            ("run{run}_{subrun}.mid", true),
            ("run{run}/data.bin", true),
            ("run{run}/data{run}.bin", true),
        ] {
            let parsed = FileTemplate::parse(template).unwrap();
            assert_eq!(parsed.is_of_many(), many, "{template}");
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "run.mid",
            "run00001.mid.crc32c",
            "run00001.crc32c",
            "xrun00001.mid",
            "run00001a.mid",
            "run99999999999999999999999.mid",
        ] {
            assert_eq!(run_of("run{run}.mid", name), None, "{name}");
        }
    }

    #[test]
    fn templates_that_cannot_tell_runs_apart_are_refused() {
        assert_eq!(
            FileTemplate::parse("data.mid"),
            Err(TemplateError::NoRun("data.mid".to_owned()))
        );
        for path in ["/data/run{run}.mid", "../run{run}.mid", "a//run{run}"] {
            assert_eq!(
                FileTemplate::parse(path),
                Err(TemplateError::Path(path.to_owned()))
            );
        }
        for template in [
            "{run}{}.mid",
            "{run}-{Nr}",
            "{run}-{a b}",
            "{run:x}",
            "{run}-{a:3}",
            "{run",
        ] {
            let refused = FileTemplate::parse(template);
            assert!(
                matches!(
                    refused,
                    Err(TemplateError::Field { .. } | TemplateError::Adjacent(_))
                ),
                "{template}: {refused:?}"
            );
        }
        assert_eq!(
            FileTemplate::parse("run{nr}.mid"),
            Err(TemplateError::NoRun("run{nr}.mid".to_owned()))
        );
        assert!(matches!(
            FileTemplate::parse("{run}_{stream}9.bin"),
            Err(TemplateError::Blurred { .. })
        ));
        assert!(matches!(
            FileTemplate::parse("{run}{subrun}"),
            Err(TemplateError::Adjacent(_))
        ));
    }
}
