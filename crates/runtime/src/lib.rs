//! Process life: configuration, telemetry, health, signals, drain, retry.
//!
//! A service is a library with `run(config, context)`; this crate gives it a process
//! around it: [`config`] is read before anything else, [`service::run`] starts the
//! runtime, the telemetry and the health endpoint, and takes all of them down again in
//! the right order. It knows nothing of what a service does.

pub mod config;
pub mod crash;
pub mod health;
pub mod http;
pub mod https;
pub mod metrics;
pub mod notify;
pub mod request;
pub mod retry;
pub mod service;
pub mod tasks;
pub mod telemetry;
pub mod trace;
