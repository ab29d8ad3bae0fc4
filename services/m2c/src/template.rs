//! File name templates: which files of a buffer belong to which run.
//!
//! A template such as `run{run}.mid`, `run{run:05}sub{subrun:04}.mid` or
//! `run{run}/part_{subrun}.bin` matches names with any number of digits, so that run
//! 100000 is found by the template that run 99999 was found by; everything else is
//! matched exactly. A field that stands twice must have one value. What a template does
//! not match is not this run's business.

use aquifer_schemas::{FileName, RunNumber};
use thiserror::Error;

/// Why a template cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// It has no place for the run number.
    #[error("file template `{0}` has no `{{run}}`")]
    NoRun(String),
    /// Braces that are not a known field.
    #[error("file template `{template}` has an unknown field `{field}` (known: run, subrun)")]
    Field {
        /// The template.
        template: String,
        /// What stood between the braces.
        field: String,
    },
    /// Two fields side by side would make the digits ambiguous.
    #[error("file template `{0}` has two fields side by side")]
    Adjacent(String),
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
    Run,
    Subrun,
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTemplate {
    pieces: Vec<Piece>,
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
    /// Parses a template. A width such as `{run:05}` is accepted and does not limit
    /// what is matched.
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let (literal, tail) = rest.split_at(open);
            let close = tail.find('}').ok_or_else(|| TemplateError::Field {
                template: template.to_owned(),
                field: tail.to_owned(),
            })?;
            let field = &tail[1..close];
            let name = field.split(':').next().unwrap_or(field);
            if literal.is_empty() && matches!(pieces.last(), Some(Piece::Run | Piece::Subrun)) {
                return Err(TemplateError::Adjacent(template.to_owned()));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            pieces.push(match name {
                "run" => Piece::Run,
                "subrun" => Piece::Subrun,
                _ => {
                    return Err(TemplateError::Field {
                        template: template.to_owned(),
                        field: field.to_owned(),
                    });
                }
            });
            rest = &tail[close + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        if !pieces.contains(&Piece::Run) {
            return Err(TemplateError::NoRun(template.to_owned()));
        }
        let parsed = Self { pieces };
        // With digits for its fields it must be a name.
        match parsed.sample().parse::<FileName>() {
            Ok(_) => Ok(parsed),
            Err(_) => Err(TemplateError::Path(template.to_owned())),
        }
    }

    fn sample(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(literal) => literal.clone(),
            Piece::Run | Piece::Subrun => "1".to_owned(),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Templates of the folders that its files lie in, outermost first.
    pub(crate) fn folders(&self) -> Vec<Self> {
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
                folders.push(Self { pieces });
            }
            pieces.push(piece.clone());
        }
        folders
    }

    /// Whether a path below the buffer is of this template, which may have no run.
    pub(crate) fn is_path(&self, path: &str) -> bool {
        self.fields(path).is_some()
    }

    /// The run that `name` belongs to, if it is of this template.
    pub fn matches(&self, name: &str) -> Option<Match> {
        let (run, subrun) = self.fields(name)?;
        Some(Match { run: run?, subrun })
    }

    fn fields(&self, name: &str) -> Option<(Option<RunNumber>, Option<u64>)> {
        let mut rest = name;
        let mut run = None;
        let mut subrun = None;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Piece::Run | Piece::Subrun => {
                    let end = rest
                        .find(|c: char| !c.is_ascii_digit())
                        .unwrap_or(rest.len());
                    let (digits, tail) = rest.split_at(end);
                    let value: u64 = digits.parse().ok()?;
                    let field = match piece {
                        Piece::Run => &mut run,
                        _ => &mut subrun,
                    };
                    if *field.get_or_insert(value) != value {
                        return None;
                    }
                    rest = tail;
                }
            }
        }
        rest.is_empty().then_some((run, subrun))
    }
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
        assert!(matches!(
            FileTemplate::parse("run{nr}.mid"),
            Err(TemplateError::Field { .. })
        ));
        assert!(matches!(
            FileTemplate::parse("{run}{subrun}"),
            Err(TemplateError::Adjacent(_))
        ));
    }
}
