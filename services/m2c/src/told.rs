//! What is told of a run: its attributes, its type, and when it began, from what the DAQ
//! announced, what its files say and what its number and names mean.
//!
//! Pure. The same facts give the same, so that the manifest may be written again.

use std::collections::{BTreeMap, BTreeSet};

use aquifer_catalogue::{Attribute, AttributeValue};
use aquifer_profile::{Classifier, Extracted, Source, Value};
use aquifer_schemas::{FileName, RunId};
use jiff::Timestamp;

use crate::journal::Active;
use crate::naming::Naming;
use crate::said::Said;
use crate::secrets;

/// The attribute that tells of a metadata file of which nothing could be read, and why.
pub const UNREADABLE: &str = "metadata.unreadable";

/// What is told of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What the DAQ announced, in its own words, without secrets.
    pub announced: BTreeMap<String, String>,
    /// The attributes that the experiment's profile names, and [`UNREADABLE`].
    pub extracted: BTreeMap<String, Attribute>,
    /// Its type: by the experiment's profile, else the DAQ's word.
    pub run_type: Option<String>,
    /// Events, as the DAQ counts, or as an attribute `events` says.
    pub events: Option<u64>,
    /// When it began, if anybody knows.
    pub started_at: Option<Timestamp>,
}

impl Told {
    /// What is told of a run of which there are only these files.
    pub fn of_files(
        classifier: &Classifier,
        naming: &Naming,
        run: &RunId,
        said: BTreeMap<FileName, Said>,
    ) -> Self {
        Self::of(classifier, naming, run, &Active::of_files(said))
    }

    /// What is told of `run` now.
    pub(crate) fn of(
        classifier: &Classifier,
        naming: &Naming,
        run: &RunId,
        active: &Active,
    ) -> Self {
        let witness = Witness::of(classifier, naming, active);
        let announced = secrets::attributes(&witness.announced, active);
        let extracted = classifier.attributes(|source| witness.says(source));
        let mut extracted: BTreeMap<_, _> = extracted.into_iter().map(attribute).collect();
        extracted.extend(unreadable(active));
        let closed_by = active.closure.as_ref().map(|closure| closure.closed_by);
        // All that the catalogue will have, so that it comes to the same answer.
        let attributes = attributes(&announced, &extracted);
        let value_of = |name: &str| Some(Value::from(&attributes.get(name)?.value));
        let run_type = classifier.run_type(run, closed_by, value_of);
        let run_type = run_type.map(str::to_owned);
        let events = match extracted.get("events").map(|attribute| &attribute.value) {
            Some(AttributeValue::Number(events)) if *events >= 0.0 => Some(*events as u64),
            _ => None,
        };
        let closure = active.closure.as_ref();
        let opening = active.opening.as_ref();
        let streams = &mut active.streams.values();
        Self {
            run_type: run_type.or_else(|| witness.run_type.clone()),
            events: closure.and_then(|closure| closure.events).or(events),
            started_at: closure
                .and_then(|closure| closure.started_at)
                .or(opening.map(|opening| opening.started_at))
                .or(classifier.begin_of(run.number))
                .or(active.began_at)
                .or_else(|| streams.find_map(|stream| stream.start.run_started_at)),
            announced,
            extracted,
        }
    }

    /// Its attributes. What the profile names stands for what was announced under the name;
    /// what is announced besides is a flag or a number where it reads as one.
    pub(crate) fn attributes(&self) -> BTreeMap<String, Attribute> {
        attributes(&self.announced, &self.extracted)
    }
}

fn attributes(
    announced: &BTreeMap<String, String>,
    extracted: &BTreeMap<String, Attribute>,
) -> BTreeMap<String, Attribute> {
    let mut all = typed(announced);
    all.extend(extracted.clone());
    all
}

/// All who say something of a run.
struct Witness<'a> {
    classifier: &'a Classifier,
    announced: BTreeMap<String, String>,
    run_type: Option<String>,
    events: Option<u64>,
    /// In the order in which they were taken.
    files: Vec<(&'a FileName, Option<&'a Said>)>,
}

impl<'a> Witness<'a> {
    fn of(classifier: &'a Classifier, naming: &Naming, active: &'a Active) -> Self {
        let (closure, opening) = (active.closure.as_ref(), active.opening.as_ref());
        let at_end = closure.map(|closure| &closure.attributes);
        let at_begin = opening.map(|opening| &opening.attributes);
        // The end says more than the begin; an end that nobody announced says nothing.
        let announced = at_end.filter(|said| !said.is_empty()).or(at_begin);
        let run_type = closure.and_then(|closure| closure.run_type.clone());
        let mut names: Vec<_> = active.expected().map(|file| &file.name).collect();
        names.extend(active.said.keys());
        names.sort_unstable();
        names.dedup();
        names.sort_by_key(|name| naming.recognise(name.as_str()).and_then(|name| name.subrun));
        Self {
            classifier,
            announced: secrets::without(announced.cloned().unwrap_or_default()).0,
            run_type: run_type.or_else(|| opening.and_then(|opening| opening.run_type.clone())),
            events: closure.and_then(|closure| closure.events),
            files: names
                .into_iter()
                .map(|name| (name, active.said.get(name)))
                .collect(),
        }
    }

    fn says(&self, source: Source<'_>) -> Option<Value> {
        let mut said = self.files.iter().filter_map(|(_, said)| *said);
        match source {
            Source::OdbBegin(path) => said.find_map(|said| said.begin.get(path)).cloned(),
            Source::OdbEnd(path) => said.rev().find_map(|said| said.end.get(path)).cloned(),
            Source::Metadata(pointer) => said.find_map(|said| said.metadata.get(pointer)).cloned(),
            Source::Message("run_type") => self.run_type.clone().map(Value::Text),
            Source::Message("events") => self.events.map(|events| Value::Number(events as f64)),
            Source::Message(name) => self.announced.get(name).cloned().map(Value::Text),
            Source::FileName(field) => {
                let names = self.files.iter().map(|(name, _)| name.as_str());
                let fields = names.filter_map(|name| self.classifier.field_of(field, name));
                let fields: BTreeSet<_> = fields.collect();
                let fields: Vec<_> = fields.into_iter().collect();
                (!fields.is_empty()).then(|| Value::Text(fields.join(",")))
            }
        }
    }
}

fn unreadable(active: &Active) -> Option<(String, Attribute)> {
    let mut said = active.said.iter();
    let (name, why) = said.find_map(|(name, said)| Some((name, said.unreadable.as_ref()?)))?;
    let told = Attribute::text(format!("{name}: {why}"));
    Some((UNREADABLE.to_owned(), told))
}

fn attribute(found: Extracted) -> (String, Attribute) {
    let value = match found.value {
        Value::Bool(flag) => AttributeValue::Bool(flag),
        Value::Number(number) => AttributeValue::Number(number),
        Value::Text(text) => AttributeValue::Text(text),
    };
    let unit = found.unit;
    (found.name, Attribute { value, unit })
}

/// What is announced, as flags and numbers where it reads as such.
pub(crate) fn typed(announced: &BTreeMap<String, String>) -> BTreeMap<String, Attribute> {
    let announced = announced.iter();
    announced
        .map(|(name, text)| (name.clone(), guessed(text)))
        .collect()
}

fn guessed(text: &str) -> Attribute {
    if let Ok(flag) = text.parse() {
        return Attribute::bool(flag);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Attribute::number(number),
        _ => Attribute::text(text),
    }
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
