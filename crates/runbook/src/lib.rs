//! Run books of the past: tables in which a DAQ noted its runs, as text with commas.
//!
//! Such a book was written by hand and by scripts, in local time, with codes of which
//! some mean two things. Nothing in it is thrown away and nothing is made up: a row is
//! taken as it stands, what cannot be read is reported by line, what can be read in two
//! ways is said to be so, and [`LossReport`] lists what the book itself shows to be lost.
//! Pure: text and names in, values out. Writing to a catalogue is left to others.

mod book;
mod columns;
mod losses;
mod row;
mod status;
mod template;
mod text;
mod times;

pub use book::{BookError, Complaint, ComplaintKind, RunBook};
pub use columns::{Columns, ColumnsError, Kind, Meaning as ColumnMeaning};
pub use losses::{Limits, Listings, Loss, LossReport};
pub use row::{Row, Value};
pub use status::{Claim, Meaning, Store};
pub use template::{KeyTemplate, KeyTemplateError};
pub use times::{Certainty, LocalSpan, Resolved, Span, resolve};
