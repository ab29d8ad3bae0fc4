//! What a row of a run book becomes in the catalogue.
//!
//! Every column is kept, under its own name; what is known only by its word is marked so
//! under names that begin with `book.`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aquifer_catalogue::{
    AdoptedCopy, AdoptedRun, Attribute, BOOK_AMBIGUOUS, BOOK_CLOCK, BOOK_NEGATIVE_DURATION,
    BOOK_NEVER_ENDED, BOOK_START, BOOK_STOP,
};
use aquifer_runbook::{Certainty, Claim, Columns, KeyTemplate, Row, Span, Store, Value};
use aquifer_schemas::{Encoding, FileName, Site};
use jiff::civil::DateTime;

use super::report::{certainty, is_negative};

/// Where copies lie.
pub(super) struct Places<'a> {
    /// The site of the runs.
    pub site: &'a Site,
    /// Their keys.
    pub keys: &'a KeyTemplate,
    /// Storage element of the copies in object storage.
    pub element: String,
    /// Its bucket.
    pub bucket: String,
    /// Storage element of the copies on tape.
    pub tape: String,
}

/// The run of a row.
pub(super) fn adopted(
    row: &Row,
    span: &Span,
    columns: &Columns,
    places: &Places<'_>,
) -> anyhow::Result<AdoptedRun> {
    let tag = row.tag.as_deref();
    let key = places.keys.key(places.site, tag, row.run);
    let (file, encoding) = file_of(&places.keys.file_name(places.site, tag, row.run))
        .with_context(|| format!("run {} of line {}", row.run, row.line))?;
    let copy = |store: Store, element: &str, bucket: Option<&String>| {
        let code = *row.codes.get(&store).filter(|code| store.claims(**code))?;
        Some(AdoptedCopy {
            element: element.to_owned(),
            bucket: bucket.cloned(),
            location: key.clone(),
            encoding,
            size: row.size,
            method: format!("run book: {} {code}", store.column(columns)),
        })
    };
    let copies = [
        copy(Store::Cloud, &places.element, Some(&places.bucket)),
        copy(Store::Tape, &places.tape, None),
    ];
    Ok(AdoptedRun {
        number: row.run,
        started_at: span.start.map(|time| time.at),
        ended_at: span.stop.map(|time| time.at),
        run_type: row.run_type.clone(),
        events: row.events,
        attributes: attributes(row, span, columns),
        file,
        why_missing: row.remains(),
        copies: copies.into_iter().flatten().collect(),
    })
}

/// The file that is stored under this name, and how.
pub(super) fn file_of(stored: &str) -> anyhow::Result<(FileName, Encoding)> {
    let (name, encoding) = Encoding::split(stored);
    Ok((name.parse()?, encoding))
}

fn attributes(row: &Row, span: &Span, columns: &Columns) -> BTreeMap<String, Attribute> {
    let mut all = BTreeMap::new();
    for (column, value) in &row.attributes {
        let attribute = match value {
            Value::Flag(flag) => Attribute::bool(*flag),
            Value::Number(number) => Attribute::number(*number),
            Value::Text(text) => Attribute::text(text),
        };
        let unit = columns
            .meaning(column)
            .and_then(|meaning| meaning.unit.clone());
        let attribute = Attribute { unit, ..attribute };
        all.insert(column.clone(), attribute);
    }
    let mut add = |name: &str, attribute: Option<Attribute>| {
        all.extend(attribute.map(|attribute| (name.to_owned(), attribute)));
    };
    let text = |text: &Option<String>| text.as_ref().map(Attribute::text);
    let clock = |at: Option<DateTime>| {
        at.map(|at| Attribute::text(at.strftime("%Y-%m-%d %H:%M:%S").to_string()))
    };
    add(&columns.description, text(&row.description));
    add(&columns.checksum, text(&row.checksum));
    add(&columns.tag, text(&row.tag));
    let size = row.size.map(|size| Attribute::number(size as f64));
    add(&columns.size, size.map(|size| size.with_unit("B")));
    for (store, code) in &row.codes {
        add(store.column(columns), Some(Attribute::number(*code as f64)));
    }
    add(BOOK_START, clock(row.start));
    add(BOOK_STOP, clock(row.stop));
    let marked = |is: bool| is.then(|| Attribute::bool(true));
    add(BOOK_NEVER_ENDED, marked(row.stop.is_none()));
    add(BOOK_NEGATIVE_DURATION, marked(is_negative(span)));
    let doubt = match certainty(span) {
        Certainty::Certain => None,
        Certainty::ByOrder => Some("the local time came twice, the order of the runs decides"),
        Certainty::Guessed => Some("the local time came twice, the first is taken"),
        Certainty::Skipped => Some("the local time was skipped in spring"),
    };
    add(BOOK_CLOCK, doubt.map(Attribute::text));
    add(BOOK_AMBIGUOUS, ambiguous(row, columns));
    all
}

/// The codes of the row that may mean two things, with both.
fn ambiguous(row: &Row, columns: &Columns) -> Option<Attribute> {
    let codes = row.codes.iter().filter_map(|(store, code)| {
        let meaning = store.meaning(*code);
        let unclear = matches!(meaning.claim, Claim::Ambiguous | Claim::Unknown);
        unclear.then(|| format!("{} {code}: {}", store.column(columns), meaning.words))
    });
    let codes: Vec<_> = codes.collect();
    (!codes.is_empty()).then(|| Attribute::text(codes.join("; ")))
}

#[cfg(test)]
mod tests {
    use aquifer_runbook::RunBook;
    use jiff::tz::TimeZone;

    use super::super::report::spans;
    use super::*;

    const HEAD: &str = "run_number,run_description,start_time,stop_time,GEM1_V,HV_STATE,number_of_events,storage_local_status,storage_cloud_status,storage_tape_status,file_size,file_checksum,file_s3_tag\n";

    fn runs(rows: &str) -> Vec<AdoptedRun> {
        let columns = Columns::default();
        let book = RunBook::parse(&(HEAD.to_owned() + rows), &columns).unwrap();
        let spans = spans(&book, &TimeZone::get("Europe/Rome").unwrap());
        let site = "LNGS".parse().unwrap();
        let keys = "{tag}/run{run:05}.mid.gz".parse().unwrap();
        let places = Places {
            site: &site,
            keys: &keys,
            element: "S3".to_owned(),
            bucket: "data".to_owned(),
            tape: "TAPE".to_owned(),
        };
        let rows = book.rows.iter().zip(&spans);
        rows.map(|(row, span)| adopted(row, span, &columns, &places).unwrap())
            .collect()
    }

    #[test]
    fn a_stored_run_has_its_claims_and_all_that_the_book_says() {
        let run = &runs(
            "7,first light,2022-07-01 12:00:00,2022-07-01 12:05:00,440,1,400,0,1,1,1400000000,0cc175b9c0f1b6a831c399e269772661,LAB\n",
        )[0];
        assert_eq!(run.file.as_str(), "run00007.mid");
        let copies: Vec<_> = run
            .copies
            .iter()
            .map(|copy| (copy.element.as_str(), copy.location.as_str(), copy.size))
            .collect();
        let size = Some(1_400_000_000);
        assert_eq!(
            copies,
            [
                ("S3", "LAB/run00007.mid.gz", size),
                ("TAPE", "LAB/run00007.mid.gz", size)
            ]
        );
        assert_eq!(run.copies[0].encoding, Encoding::Gzip);
        assert_eq!(run.copies[1].method, "run book: storage_tape_status 1");
        assert_eq!(run.started_at, "2022-07-01T10:00:00Z".parse().ok());
        let shown: Vec<_> = run
            .attributes
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        assert_eq!(
            shown,
            [
                "GEM1_V = 440 V",
                "HV_STATE = true",
                "book.ambiguous = storage_local_status 0: written and not yet compressed, or deleted from the disk since; storage_tape_status 1: copied to tape, or the copy merely requested",
                "book.start_time = 2022-07-01 12:00:00",
                "book.stop_time = 2022-07-01 12:05:00",
                "file_checksum = 0cc175b9c0f1b6a831c399e269772661",
                "file_s3_tag = LAB",
                "file_size = 1400000000 B",
                "run_description = first light",
                "storage_cloud_status = 1",
                "storage_local_status = 0",
                "storage_tape_status = 1",
            ]
        );
    }

    #[test]
    fn a_run_without_copy_end_or_sense_says_so() {
        let runs = runs(
            "7,crashed,2022-07-01 12:00:00,,440,1,,-1,-1,-1,-1,,\n\
             8,backwards,2022-07-01 13:00:00,2022-07-01 12:58:00,440,1,3,0,2,-1,-1,,\n",
        );
        assert_eq!(runs[0].copies, []);
        assert_eq!(
            runs[0].why_missing,
            "not uploaded; no count of events; on the DAQ's disk: run begun and never closed"
        );
        assert_eq!(runs[0].ended_at, None);
        assert!(runs[0].attributes.contains_key(BOOK_NEVER_ENDED));
        assert_eq!(runs[1].copies, []);
        assert!(runs[1].ended_at < runs[1].started_at);
        assert!(runs[1].attributes.contains_key("book.negative_duration"));
        let why = &runs[1].why_missing;
        assert!(
            why.starts_with("too large to be uploaded, or deleted"),
            "{why}"
        );
    }

    #[test]
    fn a_name_says_how_the_file_is_stored() {
        let read = |name| file_of(name).map(|(file, encoding)| (file.to_string(), encoding));
        let found = read("run1.mid.zst").unwrap();
        assert_eq!(found, ("run1.mid".to_owned(), Encoding::Zstd));
        let found = read("run1.mid").unwrap();
        assert_eq!(found, ("run1.mid".to_owned(), Encoding::Identity));
        assert!(read(".gz").is_err());
    }
}
