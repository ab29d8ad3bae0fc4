//! Storage elements seen from outside: what each promises, over a folder and over an
//! S3 server inside the test that can lie, forget and fail.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of the tests may fail as loudly as the tests"
)]

mod contract;
mod download;
mod fake;
mod files;
mod growing;
mod resume;
mod s3;
mod web_identity;
