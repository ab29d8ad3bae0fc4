//! Runs as people name them: one, several, or all from one number to another.

use std::collections::HashSet;

use aquifer_catalogue::{Catalogue, RunDetail, RunFilter, RunRow};
use aquifer_schemas::{RunId, RunNumber, Site};

use super::run_id;
use crate::config::Config;
use crate::failure::Hinted;

/// Runs asked for at a time.
const PAGE: u32 = 1000;

/// What one word on the command line means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Runs {
    /// This one.
    One(RunId),
    /// All versions under all numbers of a site from the first to the last.
    Span(Site, RunNumber, RunNumber),
}

/// The runs that `words` name, in the order of the words and then of their numbers, each
/// once. A run that is not there is an error, and so is a span without any.
pub(super) async fn runs(
    config: &Config,
    catalogue: &Catalogue,
    words: &[String],
) -> anyhow::Result<Vec<RunDetail>> {
    let mut seen = HashSet::new();
    let mut details = Vec::new();
    for word in words {
        let ids = match read(config, word)? {
            Runs::One(id) => vec![id],
            Runs::Span(site, first, last) => {
                let rows = span(catalogue, &site, first, last).await?;
                let mut ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
                ids.sort();
                if ids.is_empty() {
                    return Err(unknown(&format!("no run of `{word}` is")).into());
                }
                ids
            }
        };
        for id in ids {
            if !seen.insert(id.clone()) {
                continue;
            }
            let detail = catalogue.run_detail(&id).await?;
            details.push(detail.ok_or_else(|| unknown(&format!("run {id} is not")))?);
        }
    }
    Ok(details)
}

fn unknown(what: &str) -> Hinted {
    Hinted::new(
        format!("{what} in the catalogue"),
        "`aquifer runs list` shows what is; `aquifer audit` finds what should be",
    )
}

fn read(config: &Config, word: &str) -> anyhow::Result<Runs> {
    let Some((first, last)) = word.split_once("..") else {
        return Ok(Runs::One(run_id(config, word)?));
    };
    let first = run_id(config, first)?;
    let end = last.parse::<RunNumber>().ok();
    let end = end.filter(|end| *end >= first.number && first.version == 1);
    match end {
        Some(end) => Ok(Runs::Span(first.site, first.number, end)),
        None => Err(Hinted::usage(
            format!("`{word}` are no runs"),
            "write SITE/FIRST..LAST, such as LNGS/42..57",
        )
        .into()),
    }
}

async fn span(
    catalogue: &Catalogue,
    site: &Site,
    first: RunNumber,
    last: RunNumber,
) -> anyhow::Result<Vec<RunRow>> {
    let mut rows: Vec<RunRow> = Vec::new();
    let mut before = None;
    loop {
        let filter = RunFilter {
            site: Some(site.clone()),
            from_number: Some(first),
            to_number: Some(last),
            limit: PAGE,
            before,
            ..RunFilter::default()
        };
        let page = catalogue.runs(&filter).await?;
        let Some(end) = page.last() else {
            return Ok(rows);
        };
        before = Some(end.cursor());
        rows.extend(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_nonsense_is_refused() {
        let config = Config {
            default_site: "LNGS".to_owned(),
            ..Config::default()
        };
        let site: Site = "LNGS".parse().unwrap();
        let span = |first, last| Runs::Span(site.clone(), first, last);
        assert_eq!(read(&config, "LNGS/4..7").unwrap(), span(4, 7));
        assert_eq!(read(&config, "4..4").unwrap(), span(4, 4));
        let one = RunId {
            version: 2,
            ..RunId::first(site.clone(), 4)
        };
        assert_eq!(read(&config, "4.v2").unwrap(), Runs::One(one));
        for word in ["7..4", "4..", "..4", "4.v2..5", "4..LNGS/7", "4...7"] {
            assert!(read(&config, word).is_err(), "{word}");
        }
    }
}
