//! Where the files of runs lie: keys made from run numbers, and run numbers found in keys.
//!
//! One key for each run: what a template would not have made is not of it, so that two
//! spellings of one number never become two copies.

use aquifer_schemas::template::{Part, parts};
use aquifer_schemas::{RunNumber, Site};
use thiserror::Error;

/// Why a template cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyTemplateError {
    /// It has no place for the run number, or several.
    #[error("key template `{0}` has not exactly one `{{run}}`")]
    Run(String),
    /// Braces that are not a known field.
    #[error(
        "key template `{template}` has an unknown field `{field}` (known: run, run:05, site, tag)"
    )]
    Field {
        /// The template.
        template: String,
        /// What stood between the braces.
        field: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// The number, with at least so many digits.
    Run(usize),
    Site,
    Tag,
}

/// A template of keys such as `{tag}/run{run:05}.mid.gz`.
///
/// `{site}` is the name of the site, `{tag}` the folder that the book names, which is the
/// site's name where it names none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    pieces: Vec<Piece>,
}

impl std::str::FromStr for KeyTemplate {
    type Err = KeyTemplateError;

    fn from_str(text: &str) -> Result<Self, KeyTemplateError> {
        let unknown = |field: &str| KeyTemplateError::Field {
            template: text.to_owned(),
            field: field.to_owned(),
        };
        let piece = |part: &Part<'_>| match part {
            Part::Literal(literal) => Ok(Piece::Literal((*literal).to_owned())),
            Part::Field(field) => match (field.name, field.digits) {
                ("site", None) => Ok(Piece::Site),
                ("tag", None) => Ok(Piece::Tag),
                ("run", digits) => Ok(Piece::Run(digits.unwrap_or(1))),
                _ => Err(unknown(field.text)),
            },
        };
        let parts = parts(text).map_err(unknown)?;
        let pieces: Vec<_> = parts.iter().map(piece).collect::<Result<_, _>>()?;
        let runs = pieces.iter().filter(|piece| matches!(piece, Piece::Run(_)));
        if runs.count() != 1 {
            return Err(KeyTemplateError::Run(text.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            pieces,
        })
    }
}

impl std::fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl KeyTemplate {
    /// The key of a run's file.
    pub fn key(&self, site: &Site, tag: Option<&str>, run: RunNumber) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Literal(literal) => literal.clone(),
            Piece::Run(width) => format!("{run:0width$}"),
            Piece::Site => site.to_string(),
            Piece::Tag => tag.unwrap_or(site.as_str()).to_owned(),
        });
        pieces.collect()
    }

    /// The last part of the key: the file's name as it is stored.
    pub fn file_name(&self, site: &Site, tag: Option<&str>, run: RunNumber) -> String {
        let key = self.key(site, tag, run);
        key.rsplit_once('/')
            .map_or(key.as_str(), |(_, name)| name)
            .to_owned()
    }

    /// The run whose file has this key.
    pub fn run(&self, site: &Site, key: &str) -> Option<RunNumber> {
        let (run, tag) = read(&self.pieces, site, key)?;
        (self.key(site, tag, run) == key).then_some(run)
    }
}

/// The run's number and the tag, where `rest` is made of `pieces`.
fn read<'k>(pieces: &[Piece], site: &Site, rest: &'k str) -> Option<(RunNumber, Option<&'k str>)> {
    let mut rest = rest;
    let (mut run, mut tag) = (None, None);
    for (at, piece) in pieces.iter().enumerate() {
        let end = match piece {
            Piece::Literal(literal) => rest
                .starts_with(literal.as_str())
                .then_some(literal.len())?,
            Piece::Site => rest
                .starts_with(site.as_str())
                .then_some(site.as_str().len())?,
            Piece::Run(_) => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                run = Some(rest[..digits].parse().ok()?);
                digits
            }
            // Up to what must follow it.
            Piece::Tag => {
                let end = match pieces.get(at + 1) {
                    Some(Piece::Literal(next)) => rest.find(next.as_str())?,
                    Some(_) => return None,
                    None => rest.len(),
                };
                tag = Some(&rest[..end]).filter(|tag| !tag.is_empty());
                tag?;
                end
            }
        };
        rest = &rest[end..];
    }
    rest.is_empty().then_some(())?;
    Some((run?, tag))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site() -> Site {
        "LNGS".parse().unwrap()
    }

    fn template(text: &str) -> KeyTemplate {
        text.parse().unwrap()
    }

    #[test]
    fn a_run_has_one_key_and_a_key_one_run() {
        let keys = template("{tag}/run{run:05}.mid.gz");
        assert_eq!(keys.key(&site(), None, 42), "LNGS/run00042.mid.gz");
        assert_eq!(
            keys.key(&site(), Some("LAB"), 114_497),
            "LAB/run114497.mid.gz"
        );
        assert_eq!(keys.file_name(&site(), None, 42), "run00042.mid.gz");
        assert_eq!(keys.run(&site(), "LNGS/run00042.mid.gz"), Some(42));
        assert_eq!(keys.run(&site(), "LAB/run114497.mid.gz"), Some(114_497));
    }

    #[test]
    fn what_the_template_would_not_have_made_is_not_of_it() {
        let keys = template("{site}/run{run:05}.mid.gz");
        for key in [
            "LNGS/run42.mid.gz",
            "LNGS/run000042.mid.gz",
            "LNGS/run00042.mid",
            "LNGS/run00042.mid.gz.tmp",
            "LNF/run00042.mid.gz",
            "LNGS/run.mid.gz",
            "LNGS/run99999999999999999999999.mid.gz",
            "",
        ] {
            assert_eq!(keys.run(&site(), key), None, "{key}");
        }
        assert_eq!(template("{tag}/{run}").run(&site(), "/7"), None, "no tag");
    }

    #[test]
    fn templates_that_cannot_tell_runs_apart_are_refused() {
        let wrong = |text: &str| text.parse::<KeyTemplate>().unwrap_err().to_string();
        let said = wrong("data.mid");
        assert_eq!(said, "key template `data.mid` has not exactly one `{run}`");
        assert!(wrong("{run}/{run}").contains("exactly one"));
        for text in ["{nr}", "{run:x}", "{run", "{run:99}"] {
            assert!(wrong(text).contains("unknown field"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_is_found(run in any::<u64>(), tag in "[A-Za-z0-9_/-]{1,12}", width in 1_usize..9) {
            for text in [format!("{{tag}}/run{{run:{width}}}.mid"), format!("{{site}}/{{run:{width}}}/x"), format!("a{{run:{width}}}")] {
                let keys = template(&text);
                // A tag that holds what follows it cannot be told apart.
                prop_assume!(!tag.contains("/run"));
                let key = keys.key(&site(), Some(&tag), run);
                prop_assert_eq!(keys.run(&site(), &key), Some(run), "{}", key);
            }
        }

        #[test]
        fn any_text_is_read_or_not(key in "[a-zLNGS0-9/.]{0,24}") {
            let keys = template("{tag}/run{run:05}.mid.gz");
            if let Some(run) = keys.run(&site(), &key) {
                prop_assert!(key.contains(&run.to_string()));
            }
        }
    }
}
