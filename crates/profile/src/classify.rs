//! Which attributes a run has, and of which type it is.

use aquifer_schemas::{ClosedBy, RunId, RunNumber};
use jiff::Timestamp;

use crate::attribute::{AttributeDef, Source};
use crate::experiment::Experiment;
use crate::expr::Expr;
use crate::template::FileTemplate;
use crate::value::{Kind, Value};

/// What expressions may ask of every run besides its attributes.
pub const FACTS: [(&str, Kind); 3] = [
    ("site", Kind::Text),
    ("run", Kind::Number),
    ("closed_by", Kind::Text),
];

/// A checked experiment.
#[derive(Debug, Clone, Default)]
pub struct Classifier {
    experiment: Experiment,
    run_types: Vec<(String, Expr)>,
    questions: Questions,
    templates: Vec<FileTemplate>,
}

/// What is to be looked for inside run files. Nothing of it is read where nothing is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Questions {
    /// Paths in the ODB at the begin.
    pub odb_begin: Vec<String>,
    /// Paths in the ODB at the end.
    pub odb_end: Vec<String>,
    /// Template of the metadata file, and pointers into it.
    pub metadata: Option<(FileTemplate, Vec<String>)>,
}

/// An attribute of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// Its name.
    pub name: String,
    /// Its value: of its kind, or text where it does not fit.
    pub value: Value,
    /// Its unit, where it has one.
    pub unit: Option<String>,
}

impl Questions {
    /// Whether nothing inside files is asked for.
    pub fn is_empty(&self) -> bool {
        self.odb_begin.is_empty() && self.odb_end.is_empty() && self.metadata.is_none()
    }
}

impl Classifier {
    pub(crate) fn new(
        experiment: &Experiment,
        run_types: Vec<(String, Expr)>,
        metadata: Option<FileTemplate>,
        templates: &[FileTemplate],
    ) -> Self {
        let sources = || experiment.attributes.iter().flat_map(AttributeDef::sources);
        let all = |wanted: fn(Source<'_>) -> Option<&str>| {
            let mut all: Vec<_> = sources().filter_map(wanted).map(str::to_owned).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let pointers = all(|source| match source {
            Source::Metadata(pointer) => Some(pointer),
            _ => None,
        });
        let questions = Questions {
            odb_begin: all(|source| match source {
                Source::OdbBegin(path) => Some(path),
                _ => None,
            }),
            odb_end: all(|source| match source {
                Source::OdbEnd(path) => Some(path),
                _ => None,
            }),
            metadata: metadata
                .filter(|_| !pointers.is_empty())
                .map(|template| (template, pointers)),
        };
        Self {
            experiment: experiment.clone(),
            run_types,
            questions,
            templates: templates.to_vec(),
        }
    }

    /// The experiment.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// What is to be looked for inside run files.
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// When a run began, where its number says so.
    pub fn begin_of(&self, run: RunNumber) -> Option<Timestamp> {
        self.experiment.begin_of(run)
    }

    /// What a file's name has at a field of its template.
    pub fn field_of<'n>(&self, field: &str, name: &'n str) -> Option<&'n str> {
        let matching = self
            .templates
            .iter()
            .find(|template| template.is_path(name))?;
        matching.text_of(field, name)
    }

    /// The attributes that anybody says something of, where `said` is what a source says.
    pub fn attributes(&self, said: impl Fn(Source<'_>) -> Option<Value>) -> Vec<Extracted> {
        let extract = |def: &AttributeDef| {
            let value = def.sources().find_map(&said)?;
            let read = def.kind.read(&value);
            Some(Extracted {
                name: def.name.clone(),
                value: read.unwrap_or_else(|| Value::Text(value.to_string())),
                unit: (!def.unit.is_empty()).then(|| def.unit.clone()),
            })
        };
        self.experiment
            .attributes
            .iter()
            .filter_map(extract)
            .collect()
    }

    /// The type of a run with these attributes; `None` where no expression holds, and the
    /// DAQ's word stands.
    pub fn run_type(
        &self,
        run: &RunId,
        closed_by: Option<ClosedBy>,
        attribute: impl Fn(&str) -> Option<Value>,
    ) -> Option<&str> {
        // As `FACTS` names them.
        let value_of = |name: &str| match name {
            "site" => Some(Value::Text(run.site.to_string())),
            "run" => Some(Value::Number(run.number as f64)),
            "closed_by" => closed_by.map(|by| Value::Text(by.to_string())),
            name => attribute(name),
        };
        let mut types = self.run_types.iter();
        let found = types.find(|(_, expr)| expr.holds(&value_of));
        found.map(|(name, _)| name.as_str())
    }
}
