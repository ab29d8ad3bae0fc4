//! The catalogue against a real MariaDB.
//!
//! Each test works in a database of its own.

pub(crate) mod facts;
pub(crate) mod history;
pub(crate) mod house;

mod adopt;
mod crowds;
mod names;
mod purge;
mod schema;
mod work;
mod writers;
