//! How one stack is laid out: everything that its servers need to know to start.
//!
//! Each server's module turns a plan into files, a command line and a health check; what
//! is the same for all of them is here.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::unistd::Uid;
use tokio::time::sleep;

use crate::certificates::Certificates;
use crate::folder::{Folder, remove_tree, tail};
use crate::ports::Ports;
use crate::process::{MARK, POLL};
use crate::record::Record;
use crate::{
    Endpoints, MariaDbEndpoint, Phase, S3Endpoint, SecureEndpoint, Server, StackError,
    StackOptions, kafka, mariadb, seaweedfs,
};

/// The programs' search path; scripts among them call others by name.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The database, its user, the S3 bucket and its user are all called so.
const NAME: &str = "aquifer";

/// Where a stack lives, listens, and how it is tuned.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) options: StackOptions,
    pub(crate) folder: Folder,
    pub(crate) ports: Ports,
    pub(crate) endpoints: Endpoints,
    /// What the servers prove themselves with, where they speak TLS.
    pub(crate) certificates: Option<Certificates>,
    /// Marks the processes of this start: `<random>:<root>`.
    pub(crate) mark: String,
}

impl Plan {
    /// Lays a stack out in `folder`, as it was before where there is a `record` of that.
    pub(crate) fn new(
        options: StackOptions,
        folder: Folder,
        record: Option<&Record>,
    ) -> Result<Self, StackError> {
        let seed = random::<2>().map(u16::from_ne_bytes)?;
        let ports = Ports::claim(record.map(|record| record.port_base), seed)?;
        let before = record.map(|record| &record.endpoints);
        let kept = |secret: Option<&String>| secret.cloned().map_or_else(secret_word, Ok);
        let certificates = options
            .secure
            .then(|| Certificates::make(&folder))
            .transpose()?;
        let password = before.and_then(|before| before.secure.as_ref());
        let password = password.map(|before| &before.kafka_password);
        let secure = certificates
            .as_ref()
            .map(|certificates| {
                Ok::<_, StackError>(SecureEndpoint {
                    ca_file: certificates.authority.clone(),
                    kafka_bootstrap: format!("127.0.0.1:{}", ports.kafka_secure()),
                    kafka_user: NAME.to_owned(),
                    kafka_password: kept(password)?,
                })
            })
            .transpose()?;
        let endpoints = Endpoints {
            root: folder.root().to_path_buf(),
            kafka_bootstrap: format!("127.0.0.1:{}", ports.kafka()),
            mariadb: MariaDbEndpoint {
                host: "127.0.0.1".to_owned(),
                port: ports.mariadb(),
                database: NAME.to_owned(),
                user: NAME.to_owned(),
                password: kept(before.map(|before| &before.mariadb.password))?,
                socket: folder.sockets().join("mariadb.sock"),
            },
            s3: S3Endpoint {
                endpoint: format!("http://127.0.0.1:{}", ports.s3()),
                region: "us-east-1".to_owned(),
                access_key: kept(before.map(|before| &before.s3.access_key))?,
                secret_key: kept(before.map(|before| &before.s3.secret_key))?,
                bucket: NAME.to_owned(),
            },
            secure,
        };
        let mark = format!("{}:{}", secret_word()?, folder.root().display());
        Ok(Self {
            options,
            folder,
            ports,
            endpoints,
            certificates,
            mark,
        })
    }

    /// Makes a server's data folder if it is not there, starts it, and waits until it is
    /// healthy. `report` is called at each phase.
    pub(crate) async fn begin(
        &self,
        server: Server,
        report: &(dyn Fn(Server, Phase) + Sync),
    ) -> Result<Child, StackError> {
        let data = self.folder.data(server);
        let made = data.try_exists();
        if !made.map_err(StackError::io("look for", &data))? {
            report(server, Phase::Preparing);
            self.prepare(server).await?;
        }
        report(server, Phase::Starting);
        let mut child = self.spawn(server)?;
        match self.until_healthy(server, &mut child).await {
            Ok(()) => {
                report(server, Phase::Healthy);
                Ok(child)
            }
            Err(error) => {
                // Its error is the one to tell; a process that is gone needs no killing.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Makes the data folder under another name first, so that an interrupted start
    /// leaves none that is half made.
    async fn prepare(&self, server: Server) -> Result<(), StackError> {
        let data = self.folder.data(server);
        let new = data.with_extension("new");
        remove_tree(&new)?;
        let command = match server {
            Server::Kafka => Some(kafka::format(self, &new)?),
            Server::MariaDb => Some(mariadb::install(self, &new)),
            Server::SeaweedFs => None,
        };
        match command {
            Some(command) => run(server, command).await?,
            None => std::fs::create_dir(&new).map_err(StackError::io("make the folder", &new))?,
        }
        std::fs::rename(&new, &data).map_err(StackError::io("rename", &new))
    }

    fn spawn(&self, server: Server) -> Result<Child, StackError> {
        let mut command = match server {
            Server::Kafka => kafka::serve(self)?,
            Server::MariaDb => mariadb::serve(self)?,
            Server::SeaweedFs => seaweedfs::serve(self)?,
        };
        let log = self.folder.log(server)?;
        let also_log = log
            .try_clone()
            .map_err(StackError::io("open", self.folder.log_path(server)))?;
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also_log)
            .spawn()
            .map_err(StackError::io("start", command.get_program()))
    }

    async fn until_healthy(&self, server: Server, child: &mut Child) -> Result<(), StackError> {
        let began = Instant::now();
        loop {
            let found = match server {
                Server::Kafka => kafka::look(self).await,
                Server::MariaDb => mariadb::look(self).await,
                Server::SeaweedFs => seaweedfs::look(self).await,
            };
            let ended = child.try_wait();
            if let Some(status) = ended.map_err(StackError::io("wait for", server.name()))? {
                return Err(StackError::Exited {
                    server,
                    status,
                    log: self.folder.log_path(server),
                    tail: self.folder.log_tail(server),
                });
            }
            let Err(reason) = found else { return Ok(()) };
            let waited = began.elapsed();
            if waited >= self.options.start_deadline {
                return Err(StackError::Unhealthy {
                    server,
                    waited,
                    reason,
                    log: self.folder.log_path(server),
                    tail: self.folder.log_tail(server),
                });
            }
            sleep(POLL).await;
        }
    }

    /// A command with nothing of the caller's surroundings: `AWS_ACCESS_KEY_ID` or
    /// `JAVA_TOOL_OPTIONS` of a developer must not change what the servers do.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.folder.root())
            .env("TMPDIR", self.folder.tmp())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env(MARK, &self.mark)
            .current_dir(self.folder.root())
            // A group of its own: Ctrl-C is for the starter, which stops servers in order.
            .process_group(0);
        command
    }

    /// Removes what the servers leave outside of the folder.
    pub(crate) fn sweep(&self) {
        seaweedfs::remove_sockets(&self.ports);
        self.folder.remove_outside_sockets();
    }

    /// All paths of the stack, in its folder and outside.
    pub(crate) fn everything(&self) -> Vec<PathBuf> {
        let folders = [self.folder.root(), self.folder.sockets()];
        folders
            .map(Path::to_path_buf)
            .into_iter()
            .chain(seaweedfs::sockets(&self.ports))
            .collect()
    }
}

/// Whether this process is root's; some servers then ask to be told that it is meant.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Runs a command to its end.
async fn run(server: Server, command: Command) -> Result<(), StackError> {
    let program = command.get_program().to_owned();
    let output = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(StackError::io("run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(StackError::Prepare {
        server,
        program: program.into(),
        status: output.status,
        output: tail(&String::from_utf8_lossy(&said)),
    })
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StackError> {
    const SOURCE: &str = "/dev/urandom";
    let mut bytes = [0; N];
    File::open(SOURCE)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(StackError::io("read", SOURCE))?;
    Ok(bytes)
}

/// 128 bits in letters and digits.
pub(crate) fn secret_word() -> Result<String, StackError> {
    let [high, low] = [random()?, random()?].map(u64::from_ne_bytes);
    Ok(format!("{high:016x}{low:016x}"))
}
