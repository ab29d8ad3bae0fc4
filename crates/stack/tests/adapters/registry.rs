//! A schema registry of another maker beside the stack: Apicurio, by its Confluent API.
//!
//! Not in every run of the tests: `make test-full` installs it. What becomes of messages
//! while a registry is away is tested where the bus is, without one.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aquifer_bus::{KafkaConfig, Producer, RegistryConfig, Schemas, read_all};
use aquifer_schemas::{Message, RunOpened};
use serde_json::Value;
use tempfile::TempDir;

use crate::bus::{house_on, opened};
use crate::fixture::{block_on, cache, folder, stack, tools};

/// Java takes a while where others work, too.
const PATIENCE: Duration = Duration::from_mins(2);

/// A registry that ends with this value.
struct Registry {
    url: String,
    server: Child,
    folder: TempDir,
}

impl Registry {
    fn start() -> Self {
        let folder = folder();
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let log = File::create(folder.path().join("log")).unwrap();
        let server = Command::new(tools().java)
            .args(["-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={port}"))
            .arg("-jar")
            .arg(runner())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            url: format!("http://127.0.0.1:{port}/apis/ccompat/v7"),
            server,
            folder,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Ended already is what is wanted.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The program, as `tools/setup --full-tools` installs it.
fn runner() -> PathBuf {
    let folder = cache().join("registry");
    let files = std::fs::read_dir(&folder);
    let files = files.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths = files.map(|file| file.unwrap().path());
    let runner = paths.find(|path| path.to_string_lossy().ends_with("-runner.jar"));
    runner.expect("the archive has a runner")
}

/// What Confluent's library for Python reads from a topic, and says of its subject.
fn read_by_others(config: &KafkaConfig, topic: &str, count: usize) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/adapters/read_avro.py");
    let output = Command::new("python3")
        .arg(script)
        .args([&config.bootstrap_servers, &config.schema_registry.url])
        .args([format!("{}{topic}", config.topic_prefix), count.to_string()])
        .env("PYTHONPATH", cache().join("python"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// Messages are registered with a registry that knows nothing yet, read back by a stranger
/// and by us, and the registry holds us to our own rules of change.
#[test]
#[ignore = "needs a schema registry: `make test-full` installs it"]
fn the_registry_of_another_maker_lets_others_read_the_topics() {
    let registry = Registry::start();
    block_on(async {
        let config = KafkaConfig {
            schema_registry: RegistryConfig {
                url: registry.url.clone(),
                ..RegistryConfig::default()
            },
            ..house_on(&stack().kafka_bootstrap).await
        };
        let producer = Producer::connect(&config).unwrap();
        // The first waits for the registry to come up.
        let began = Instant::now();
        for run in [7, 8] {
            let (event, sent) = (opened(run), PATIENCE);
            let publish = producer.publish(&event, None);
            let published = tokio::time::timeout(sent, publish).await;
            published
                .unwrap_or_else(|_| panic!("{}", registry.log()))
                .unwrap();
        }
        println!("registered and published after {:?}", began.elapsed());
        let schemas = Schemas::new(&config).unwrap();
        let mut read = Vec::new();
        for record in read_all(&config, RunOpened::TOPIC).await.unwrap() {
            let value = record.value.unwrap();
            assert_eq!(value[0], 0, "framed as Confluent does");
            read.push(schemas.decode::<RunOpened>(&value).await.unwrap().run);
        }
        read.sort_unstable();
        assert_eq!(read, [7, 8]);

        let mut said = read_by_others(&config, RunOpened::TOPIC, 2);
        let subject = said.pop().unwrap();
        assert_eq!(subject["compatibility"], "FULL_TRANSITIVE");
        assert_eq!(subject["takes_retyped"], false);
        said.sort_by_key(|message| message["run"].as_u64());
        for (message, run) in said.iter().zip([7, 8]) {
            let event = opened(run);
            assert_eq!(message["run"], run);
            assert_eq!(message["site"], "LNGS");
            assert_eq!(message["event_id"], event.event_id.to_string());
            assert_eq!(message["started_at"], "2026-09-21 14:13:20+00:00");
        }
    });
}
