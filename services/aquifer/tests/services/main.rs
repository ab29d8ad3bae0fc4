//! The services as processes against real servers: one binary for this floor.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod analyst;
mod api;
mod audit;
mod backup;
mod command_line;
mod crash;
mod demo;
mod deployment;
mod each_run;
mod edge;
mod faults;
mod forms;
mod import;
mod live;
mod midas;
mod profile;
mod purge;
mod readiness;
mod rebuild;
mod replay;
mod search;
mod secrets;
mod shadow;
mod slow_run;
mod storage;
mod streaming;
mod unit;
mod verdict;
mod way_of_a_run;
mod web;
