//! File name templates: which files of a buffer belong to which run.
//!
//! A template such as `run{run}.mid` or `run{run:05}sub{subrun:04}.mid` matches names
//! with any number of digits, so that run 100000 is found by the template that run
//! 99999 was found by. What a template does not match is not this run's business.

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
        if pieces.contains(&Piece::Run) {
            Ok(Self { pieces })
        } else {
            Err(TemplateError::NoRun(template.to_owned()))
        }
    }

    /// The run that `name` belongs to, if it is of this template.
    pub fn matches(&self, name: &FileName) -> Option<Match> {
        let mut rest = name.as_str();
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
                    let value = digits.parse().ok()?;
                    match piece {
                        Piece::Run => run = Some(value),
                        _ => subrun = Some(value),
                    }
                    rest = tail;
                }
            }
        }
        let run = run?;
        rest.is_empty().then_some(Match { run, subrun })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_of(template: &str, name: &str) -> Option<Match> {
        FileTemplate::parse(template)
            .unwrap()
            .matches(&name.parse().unwrap())
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
