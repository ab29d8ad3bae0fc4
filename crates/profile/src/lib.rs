//! Profiles of experiments: what is peculiar to one, and stands in no code.
//!
//! An [`Experiment`] is the section of the configuration that a profile fills; checked, it
//! becomes a [`Classifier`], which says which attributes a run has and of which type it is.
//! Pure: looking into files, messages and the catalogue is for the callers. Expressions
//! ([`Expr`]) serve whoever asks something about runs, and give out their tree.

mod attribute;
mod classify;
mod experiment;
mod expr;
mod shipped;
mod template;
mod value;

pub use attribute::{AttributeDef, Source};
pub use classify::{Classifier, Extracted, FACTS, Questions};
pub use experiment::{
    DetectorKind, Experiment, Fault, Files, PeriodDef, RunNumbers, RunTypeDef, SiteDef,
};
pub use expr::{Expr, ExprError, Name, Operator, Pattern, Predicate, Test};
pub use shipped::{Shipped, ShippedFile, shipped};
pub use template::{FileTemplate, Match, TemplateError};
pub use value::{Kind, Value};
