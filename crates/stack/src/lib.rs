//! Private Kafka, MariaDB and SeaweedFS on loopback, with everything in one folder.
//!
//! For `aquifer up`, for tests and for load: [`Stack::start`] returns when all three
//! answer in their own protocols. The servers never outlive the process that started
//! them, however it ends; data and credentials in the folder do, and the next start uses
//! them again. Topics, tables and objects are left to those who use the servers.

mod attached;
mod certificates;
mod endpoints;
mod error;
mod folder;
mod kafka;
mod lifeline;
mod mariadb;
mod options;
mod plan;
mod ports;
mod process;
mod proxy;
mod record;
mod seaweedfs;
mod server;
mod stack;
mod tools;
mod versitygw;
mod wire;

pub use attached::Attached;
pub use endpoints::{Endpoints, MariaDbEndpoint, S3Endpoint, SecureEndpoint};
pub use error::StackError;
pub use options::{StackOptions, TokenIssuer};
pub use proxy::{LinkMode, LinkProxy};
pub use server::{Halt, Phase, Progress, Server};
pub use stack::Stack;
pub use tools::Tools;
pub use versitygw::VersityGw;
