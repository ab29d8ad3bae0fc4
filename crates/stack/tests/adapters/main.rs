//! The adapters against real servers: one binary, so that all tests share one stack.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clients;
mod fixture;
mod stack;
