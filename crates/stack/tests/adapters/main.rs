//! The adapters against real servers: one binary, so that all tests share one stack.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bus;
mod catalogue;
mod clients;
mod fixture;
mod issuer;
mod outages;
mod registry;
mod secure;
mod stack;
mod storage;
