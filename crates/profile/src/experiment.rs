//! `[experiment]`: the section of the configuration that a profile fills, and what can be
//! wrong with it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use aquifer_schemas::{Period, PeriodEdge, RunNumber, Site};

use crate::attribute::{AttributeDef, Source};
use crate::classify::{Classifier, FACTS};
use crate::expr::{Expr, nearest};
use crate::template::FileTemplate;
use crate::value::Kind;

/// Most characters of a run type.
const LONGEST_TYPE: usize = 128;

/// Most characters of an attribute's name.
const LONGEST_NAME: usize = 255;

/// `[experiment]`: what is peculiar to an experiment. A profile sets it, and everything else that is the same at all its sites.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// The simulated detector that `aquifer daq simulate` and `aquifer demo` take runs with.
    pub detector: DetectorKind,
    /// What run numbers are.
    pub run_numbers: RunNumbers,
    /// Template of the JSON file of a run that attributes are taken from, one of `m2c.files`, such as `{run}/metadata.json`; empty: none.
    pub metadata_file: String,
    /// Places where it takes data.
    pub sites: Vec<SiteDef>,
    /// Facts that are kept of each run.
    pub attributes: Vec<AttributeDef>,
    /// Types of runs; the first whose expression holds counts. Where none does, the DAQ's word stands.
    pub run_types: Vec<RunTypeDef>,
    /// Named stretches of data taking.
    pub periods: Vec<PeriodDef>,
}

/// A simulated detector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DetectorKind {
    /// A gas TPC that is read out by cameras and photomultipliers: one MIDAS file per run.
    #[default]
    Cameras,
    /// A detector whose runs are folders of sub-files with some hundred events each, closed by a marker.
    SubFiles,
    /// A spectrometer in space: files of telemetry blocks from two streams, numbered by the second at which the run began.
    Telemetry,
}

/// What run numbers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunNumbers {
    /// They count.
    #[default]
    Counter,
    /// The second, since 1970, at which the run began.
    StartSecond,
}

/// `[[experiment.sites]]`: a place with a DAQ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SiteDef {
    /// Its name, such as `LNGS`.
    pub name: String,
    /// Time zone of its DAQ's clock, such as `Europe/Rome`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What it is, for people.
    #[serde(default)]
    pub description: String,
    /// Folder into which its DAQ writes, where `m2c.buffer` does not say; `{site}` stands for the site's name.
    #[serde(default)]
    pub buffer: String,
}

/// `[[experiment.run-types]]`: a type of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunTypeDef {
    /// Its name.
    pub name: String,
    /// The expression that holds for its runs, over the attributes, `site`, `run` and `closed_by`.
    pub when: String,
    /// What it is, for people.
    #[serde(default)]
    pub description: String,
}

/// `[[experiment.periods]]`: a named stretch of data taking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PeriodDef {
    /// Its name, such as `SR0`.
    pub name: String,
    /// The site; empty: all of them.
    #[serde(default)]
    pub site: String,
    /// Its first run by number, or the time at which it began; unset: the first there is.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub from: Option<PeriodEdge>,
    /// Its last run by number, or the time at which it was over; unset: it goes on.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub to: Option<PeriodEdge>,
    /// What it is, for people.
    #[serde(default)]
    pub description: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A value of the configuration that fits its type and cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{key}: {why}")]
pub struct Fault {
    /// The dotted key, such as `experiment.run-types[2].when`.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
    /// What would be right, where that is known.
    pub hint: Option<String>,
}

impl Fault {
    fn new(key: String, why: impl Into<String>) -> Self {
        Self {
            key,
            why: why.into(),
            hint: None,
        }
    }

    fn hinted(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// What else the profile says of the run files.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// Their templates.
    pub templates: &'a [FileTemplate],
    /// Whether they are MIDAS files.
    pub midas: bool,
}

impl Experiment {
    /// Says what cannot be used, the first there is; else what tells attributes and types.
    ///
    /// # Errors
    /// [`Fault`], with the key that is wrong.
    pub fn check(&self, files: Files<'_>) -> Result<Classifier, Fault> {
        self.check_sites()?;
        let metadata = self.metadata_template(files)?;
        self.check_attributes(files)?;
        let run_types = self.parse_run_types()?;
        self.periods()?;
        Ok(Classifier::new(self, run_types, metadata, files.templates))
    }

    /// The site of this name.
    pub fn site(&self, name: &str) -> Option<&SiteDef> {
        self.sites.iter().find(|site| site.name == name)
    }

    /// When a run began, where its number says so.
    pub fn begin_of(&self, run: RunNumber) -> Option<Timestamp> {
        match self.run_numbers {
            RunNumbers::Counter => None,
            RunNumbers::StartSecond => Timestamp::from_second(i64::try_from(run).ok()?).ok(),
        }
    }

    fn check_sites(&self) -> Result<(), Fault> {
        for (place, site) in self.sites.iter().enumerate() {
            let key = |key: &str| format!("experiment.sites[{place}].{key}");
            let name = site.name.parse::<Site>();
            name.map_err(|error| Fault::new(key("name"), error.to_string()))?;
            if self.sites[..place]
                .iter()
                .any(|other| other.name == site.name)
            {
                return Err(twice(key("name"), &site.name));
            }
            if TimeZone::get(&site.time_zone).is_err() {
                let why = format!("time zone `{}` is not known here", site.time_zone);
                return Err(Fault::new(key("time-zone"), why).hinted("one is Europe/Rome"));
            }
        }
        Ok(())
    }

    fn metadata_template(&self, files: Files<'_>) -> Result<Option<FileTemplate>, Fault> {
        if self.metadata_file.is_empty() {
            return Ok(None);
        }
        let key = || "experiment.metadata-file".to_owned();
        let template = FileTemplate::parse(&self.metadata_file)
            .map_err(|error| Fault::new(key(), error.to_string()))?;
        if !files.templates.contains(&template) {
            let why = format!("`{}` is none of the run's files", self.metadata_file);
            let hint = "list it in m2c.files: it is stored with the run";
            return Err(Fault::new(key(), why).hinted(hint));
        }
        Ok(Some(template))
    }

    fn check_attributes(&self, files: Files<'_>) -> Result<(), Fault> {
        for (place, attribute) in self.attributes.iter().enumerate() {
            let key = |key: &str| format!("experiment.attributes[{place}].{key}");
            let name = &attribute.name;
            if name.is_empty() || name.chars().count() > LONGEST_NAME {
                let why = format!("a name has 1 to {LONGEST_NAME} characters");
                return Err(Fault::new(key("name"), why));
            }
            if FACTS.iter().any(|(fact, _)| fact == name) {
                let why = format!("`{name}` is known of every run; it needs no attribute");
                return Err(Fault::new(key("name"), why));
            }
            if self.attributes[..place]
                .iter()
                .any(|other| other.name == *name)
            {
                return Err(twice(key("name"), name));
            }
            if attribute.sources().next().is_none() {
                let why = format!("nothing says where `{name}` is found");
                let hint = "set odb-begin, odb-end, metadata, message or file-name";
                return Err(Fault::new(key("name"), why).hinted(hint));
            }
            for source in attribute.sources() {
                self.check_source(source, files).map_err(|fault| Fault {
                    key: key(source.key()),
                    ..fault
                })?;
            }
        }
        self.check_fields(files)
    }

    fn check_source(&self, source: Source<'_>, files: Files<'_>) -> Result<(), Fault> {
        let wrong = |why: String| Fault::new(String::new(), why);
        match source {
            Source::OdbBegin(path) | Source::OdbEnd(path) => {
                if !files.midas {
                    let why = wrong("the files are opaque and have no ODB".to_owned());
                    return Err(why.hinted("m2c.format says what they are"));
                }
                absolute(path, "ODB path").map_err(wrong)
            }
            Source::Metadata(pointer) => {
                if self.metadata_file.is_empty() {
                    let why = wrong("no metadata file is named".to_owned());
                    return Err(why.hinted("set experiment.metadata-file"));
                }
                absolute(pointer, "JSON pointer").map_err(wrong)
            }
            Source::FileName(field) => {
                let mut fields = files.templates.iter().flat_map(FileTemplate::text_fields);
                if fields.any(|known| known == field) {
                    return Ok(());
                }
                let why = wrong(format!("no file template has a field `{{{field}}}`"));
                Err(why.hinted("add it to a template of m2c.files"))
            }
            Source::Message(_) => Ok(()),
        }
    }

    /// A field that no attribute takes is rather a misspelt `{subrun}`.
    fn check_fields(&self, files: Files<'_>) -> Result<(), Fault> {
        for (place, template) in files.templates.iter().enumerate() {
            let mut fields = template.text_fields();
            let taken = |field: &str| self.attributes.iter().any(|a| a.file_name == field);
            if let Some(field) = fields.find(|field| !taken(field)) {
                let why = format!("no attribute takes the field `{{{field}}}`");
                let near = nearest(field, &["run", "subrun"]);
                let hint = near.map_or_else(
                    || format!("give an attribute `file-name = \"{field}\"`"),
                    |near| format!("did you mean `{{{near}}}`?"),
                );
                return Err(Fault::new(format!("m2c.files[{place}]"), why).hinted(hint));
            }
        }
        Ok(())
    }

    fn parse_run_types(&self) -> Result<Vec<(String, Expr)>, Fault> {
        let mut known: Vec<_> = self.attributes.iter().map(|a| a.name.as_str()).collect();
        known.extend(FACTS.iter().map(|(fact, _)| *fact));
        let kind_of = |name: &str| self.kind_of(name);
        let parse = |(place, run_type): (usize, &RunTypeDef)| {
            let key = |key: &str| format!("experiment.run-types[{place}].{key}");
            let name = &run_type.name;
            if name.is_empty() || name.chars().count() > LONGEST_TYPE {
                let why = format!("a run type has 1 to {LONGEST_TYPE} characters");
                return Err(Fault::new(key("name"), why));
            }
            let parsed = run_type.when.parse::<Expr>().and_then(|expr| {
                expr.check(&kind_of, &known)?;
                Ok(expr)
            });
            let expr = parsed.map_err(|error| Fault::new(key("when"), error.to_string()))?;
            Ok((name.clone(), expr))
        };
        self.run_types.iter().enumerate().map(parse).collect()
    }

    fn kind_of(&self, name: &str) -> Option<Kind> {
        let mut facts = FACTS.iter();
        let fact = facts.find(|(fact, _)| *fact == name);
        let attribute = || self.attributes.iter().find(|a| a.name == name);
        fact.map(|(_, kind)| *kind)
            .or_else(|| attribute().map(|a| a.kind))
    }

    /// Its periods.
    ///
    /// # Errors
    /// [`Fault`], with the key that is wrong.
    pub fn periods(&self) -> Result<Vec<Period>, Fault> {
        let period = |(place, def): (usize, &PeriodDef)| {
            let key = |key: &str| format!("experiment.periods[{place}].{key}");
            let site = match def.site.as_str() {
                "" => None,
                name => {
                    if !self.sites.is_empty() && self.site(name).is_none() {
                        let why = format!("site `{name}` is none of the experiment's");
                        return Err(Fault::new(key("site"), why));
                    }
                    let site = name.parse::<Site>();
                    Some(site.map_err(|error| Fault::new(key("site"), error.to_string()))?)
                }
            };
            if self.periods[..place]
                .iter()
                .any(|other| other.name == def.name)
            {
                return Err(twice(key("name"), &def.name));
            }
            let period = Period {
                name: def.name.clone(),
                site,
                from: def.from,
                to: def.to,
                description: def.description.clone(),
            };
            let checked = period.check();
            checked.map_err(|error| Fault::new(key("name"), error.to_string()))?;
            Ok(period)
        };
        self.periods.iter().enumerate().map(period).collect()
    }
}

fn twice(key: String, name: &str) -> Fault {
    Fault::new(key, format!("`{name}` is there already"))
}

fn absolute(path: &str, what: &str) -> Result<(), String> {
    if path.starts_with('/') {
        Ok(())
    } else {
        Err(format!("{what} `{path}` does not begin with `/`"))
    }
}

#[cfg(test)]
#[path = "experiment_tests.rs"]
mod tests;
