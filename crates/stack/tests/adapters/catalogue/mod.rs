//! The catalogue against a real MariaDB.
//!
//! Each test works in a database of its own.

pub(crate) mod facts;
pub(crate) mod history;
pub(crate) mod house;

mod adopt;
mod classify;
mod crowds;
mod looks;
mod names;
mod purge;
mod schema;
mod search;
mod work;
mod writers;
