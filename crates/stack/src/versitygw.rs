//! versitygw: an S3 gateway of another maker onto a folder of files.
//!
//! Not part of a stack: tests start one beside it, to learn what holds on a server that
//! is not `SeaweedFS`. It ends with its value.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::process::POLL;
use crate::{S3Endpoint, wire};

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway.
#[derive(Debug)]
pub struct VersityGw {
    endpoint: S3Endpoint,
    server: Child,
}

impl VersityGw {
    /// Where `tools/setup --full-tools` puts the program.
    pub fn program(cache: &Path) -> PathBuf {
        cache.join("versitygw/versitygw")
    }

    /// Starts `program` on `folder`, which becomes its root, and waits until it answers.
    /// The bucket of its endpoint is not made.
    pub async fn start(program: &Path, folder: &Path) -> io::Result<Self> {
        let root = folder.join("objects");
        fs::create_dir_all(&root)?;
        let log = File::create(folder.join("versitygw.log"))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let endpoint = S3Endpoint {
            endpoint: format!("http://127.0.0.1:{port}"),
            region: "us-east-1".to_owned(),
            access_key: "aquifer".to_owned(),
            secret_key: "a-secret-of-tests".to_owned(),
            bucket: "aquifer".to_owned(),
        };
        let server = Command::new(program)
            .env_clear()
            .env("ROOT_ACCESS_KEY", &endpoint.access_key)
            .env("ROOT_SECRET_KEY", &endpoint.secret_key)
            .args(["--port", &format!("127.0.0.1:{port}")])
            .args(["--region", &endpoint.region])
            .arg("posix")
            .arg(&root)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut gateway = Self { endpoint, server };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(found) = wire::http(port, "/", 403, "<Code>AccessDenied</Code>").await else {
                return Ok(gateway);
            };
            let ended = gateway.server.try_wait()?;
            if ended.is_some() || Instant::now() >= deadline {
                let said = fs::read_to_string(folder.join("versitygw.log"))?;
                return Err(io::Error::other(format!("{found}; it said:\n{said}")));
            }
            sleep(POLL).await;
        }
    }

    /// Where it listens, and its credentials.
    pub fn endpoint(&self) -> &S3Endpoint {
        &self.endpoint
    }
}

impl Drop for VersityGw {
    fn drop(&mut self) {
        // Ended already is what is wanted.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
