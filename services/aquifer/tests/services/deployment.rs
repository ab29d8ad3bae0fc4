//! A deployment of its own for one test: servers, buffer, configuration, services.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aquifer_bus::{KafkaConfig, Producer};
use aquifer_schemas::Site;
use aquifer_sim::{Daq, DaqEvent, DetectorConfig, RunTruth};
use aquifer_stack::{S3Endpoint, Stack, StackOptions, Tools, VersityGw};
use aquifer_storage::{S3Config, S3Element};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The binary under test.
pub(crate) const AQUIFER: &str = env!("CARGO_BIN_EXE_aquifer");

/// How long anything may take to settle before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Servers and a folder; everything ends and goes with it.
pub(crate) struct Deployment {
    pub(crate) runtime: Runtime,
    pub(crate) stack: Stack,
    pub(crate) folder: TempDir,
    config: PathBuf,
    s3: S3Endpoint,
    /// The S3 server, where that is not the stack's.
    _gateway: Option<VersityGw>,
}

/// A service as a child process; killed when dropped.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    child: Child,
}

impl Deployment {
    /// Starts servers, creates schema, topics and site.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {}, false)
    }

    /// Starts them with an S3 server of another maker beside them.
    pub(crate) fn start_on_versitygw() -> Self {
        Self::start_with(|_| {}, true)
    }

    /// Starts them with TLS and passwords on every link but the storage's.
    pub(crate) fn start_secure() -> Self {
        Self::start_with(|options| options.secure = true, false)
    }

    fn start_with(change: impl FnOnce(&mut StackOptions), on_versitygw: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let cache = Tools::cache(&repository);
        let tools = Tools::locate(&cache).unwrap_or_else(|error| panic!("{error}"));
        let mut options = StackOptions::new(folder.path().join("stack"), tools);
        change(&mut options);
        let stack = runtime
            .block_on(Stack::start(options, &mut |_| {}))
            .unwrap_or_else(|error| panic!("{error}"));
        let config = folder.path().join("aquifer.toml");
        let gateway = on_versitygw.then(|| {
            let program = VersityGw::program(&cache);
            let started = VersityGw::start(&program, folder.path());
            runtime.block_on(started).unwrap()
        });
        let s3 = gateway
            .as_ref()
            .map_or(&stack.endpoints().s3, VersityGw::endpoint);
        let s3 = s3.clone();
        let deployment = Self {
            runtime,
            stack,
            folder,
            config,
            s3,
            _gateway: gateway,
        };
        deployment.write_config();
        deployment.expect(&["migrate"]);
        deployment.expect(&["topology", "apply"]);
        deployment.expect(&["sites", "add", "LAB"]);
        deployment
    }

    fn write_config(&self) {
        let ends = self.stack.endpoints();
        let (db, s3) = (&ends.mariadb, &self.s3);
        fs::create_dir_all(self.buffer()).unwrap();
        let kafka = self.kafka();
        let properties = kafka.properties.iter();
        let properties: Vec<_> = properties
            .map(|(name, value)| format!("\"{name}\" = \"{}\"", value.reveal()))
            .collect();
        let tls = ends.secure.as_ref().map(|secure| {
            let ca_file = secure.ca_file.display();
            format!("tls = \"required\"\nca-file = \"{ca_file}\"")
        });
        let text = format!(
            r#"
            [kafka]
            bootstrap-servers = "{kafka}"
            [kafka.properties]
            {properties}
            [catalogue]
            {tls}
            host = "{host}"
            port = {port}
            database = "{database}"
            user = "{user}"
            password = "{password}"
            [storage]
            endpoint = "{endpoint}"
            region = "{region}"
            bucket = "{bucket}"
            access-key = "{access_key}"
            secret-key = "{secret_key}"
            part-size-mib = 5
            [telemetry]
            traces = "file"
            traces-dir = "{folder}/traces"
            [m2c]
            listen = "127.0.0.1:0"
            site = "LAB"
            buffer = "{folder}/buffer"
            journal = "{folder}/journal"
            scan-interval-ms = 200
            announce-grace-ms = 500
            settle-ms = 300
            quiet-secs = 3
            missing-deadline-secs = 3
            [relay]
            listen = "127.0.0.1:0"
            lease-secs = 2
            [audit]
            daq-run-list = "{folder}/daq-runs.jsonl"
            stored-within-secs = 60
            "#,
            kafka = kafka.bootstrap_servers,
            properties = properties.join("\n"),
            tls = tls.unwrap_or_default(),
            host = db.host,
            port = db.port,
            database = db.database,
            user = db.user,
            password = db.password,
            endpoint = s3.endpoint,
            region = s3.region,
            bucket = s3.bucket,
            access_key = s3.access_key,
            secret_key = s3.secret_key,
            folder = self.folder.path().display(),
        );
        fs::write(&self.config, text).unwrap();
    }

    /// Adds sections to the configuration.
    pub(crate) fn configure(&self, sections: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        fs::write(&self.config, text + sections).unwrap();
    }

    /// Closes files by inference only after so many seconds: a DAQ that waits is not dead.
    pub(crate) fn quiet_after(&self, secs: u32) {
        let text = fs::read_to_string(&self.config).unwrap();
        let text = text.replace("quiet-secs = 3\n", &format!("quiet-secs = {secs}\n"));
        fs::write(&self.config, text).unwrap();
    }

    /// Where the simulated DAQ writes.
    pub(crate) fn buffer(&self) -> PathBuf {
        self.folder.path().join("buffer")
    }

    /// A DAQ whose runs are small; `frames` above 500 give files of several parts.
    pub(crate) fn daq(&self, change: impl FnOnce(&mut DetectorConfig)) -> Daq {
        let site: Site = "LAB".parse().unwrap();
        let mut config = DetectorConfig::small(site);
        change(&mut config);
        let list = self.folder.path().join("daq-runs.jsonl");
        Daq::new(config, &self.buffer(), &list).unwrap()
    }

    /// The bus, as the configuration has it.
    pub(crate) fn kafka(&self) -> KafkaConfig {
        let ends = self.stack.endpoints();
        let Some(secure) = &ends.secure else {
            return KafkaConfig {
                bootstrap_servers: ends.kafka_bootstrap.clone(),
                ..KafkaConfig::default()
            };
        };
        let properties = [
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", secure.ca_file.to_str().unwrap()),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", &secure.kafka_user),
            ("sasl.password", &secure.kafka_password),
        ];
        let properties = properties.into_iter();
        KafkaConfig {
            bootstrap_servers: secure.kafka_bootstrap.clone(),
            properties: properties
                .map(|(name, value)| (name.to_owned(), value.to_owned().into()))
                .collect(),
            ..KafkaConfig::default()
        }
    }

    /// The storage, as the configuration has it.
    pub(crate) fn storage(&self) -> S3Element {
        let s3 = &self.s3;
        S3Element::new(S3Config {
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            bucket: s3.bucket.clone(),
            access_key: s3.access_key.clone().into(),
            secret_key: s3.secret_key.clone().into(),
            ..S3Config::default()
        })
        .unwrap()
    }

    /// Announces a run as the DAQ does.
    pub(crate) fn announce(&self, producer: &Producer, truth: &RunTruth) {
        let message = truth.closed("daq@LAB", None);
        self.runtime
            .block_on(producer.publish(&message, None))
            .unwrap();
    }

    /// A command of the binary, with this deployment's configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(AQUIFER);
        command.arg("--config").arg(&self.config).args(args);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed and gives its standard output.
    pub(crate) fn expect(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "aquifer {args:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a service; `crash_at` names the step at which it kills itself.
    pub(crate) fn service(&self, name: &'static str, crash_at: Option<&str>) -> Service {
        self.service_set(name, &[], crash_at)
    }

    /// Starts a service with some keys of its configuration set.
    pub(crate) fn service_set(
        &self,
        name: &'static str,
        keys: &[&str],
        crash_at: Option<&str>,
    ) -> Service {
        let flags: Vec<&str> = keys.iter().flat_map(|key| ["--set", key]).collect();
        let crash_at = crash_at.map(|step| ("AQUIFER_CRASH_AT", step));
        self.service_with(name, &flags, crash_at)
    }

    /// Starts a service with more flags and a variable in its environment.
    pub(crate) fn service_with(
        &self,
        name: &'static str,
        flags: &[&str],
        variable: Option<(&str, &str)>,
    ) -> Service {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join(format!("{name}.log")))
            .unwrap();
        let mut command = self.command(&[name]);
        command
            .args(flags)
            .arg("--until-stdin-closes")
            .envs(variable)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn().unwrap();
        Service { name, child }
    }

    /// What the services said, for the message of a failed test.
    pub(crate) fn logs(&self) -> String {
        let tail = |name: &str| {
            let path = self.folder.path().join(format!("{name}.log"));
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        let said = ["m2c", "relay", "on"].map(|name| format!("--- {name}\n{}", tail(name)));
        said.join("\n")
    }

    /// Waits until `condition` holds.
    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}\n{}",
                self.logs()
            );
            pause(Duration::from_millis(50));
        }
    }
}

impl Service {
    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the process to end by itself and says whether it succeeded.
    pub(crate) fn ended(mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// Ends the process by SIGKILL; it must be alive until then.
    pub(crate) fn kill(mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{} ended by itself: {ended:?}", self.name);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells the process to stop and waits for it to do so in order.
    pub(crate) fn stop(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// Whether it was ended by SIGKILL: by itself, at its step.
    pub(crate) fn is_killed(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        match self.child.try_wait().unwrap() {
            Some(status) => {
                assert_eq!(status.signal(), Some(9), "{}: {status}", self.name);
                true
            }
            None => false,
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes one run; it is closed by its side files, unless it crashes.
pub(crate) fn take(daq: &mut Daq) -> RunTruth {
    daq.take_run(&mut |_: DaqEvent<'_>| {}).unwrap()
}

/// Waits between two looks at a condition.
pub(crate) fn pause(time: Duration) {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
