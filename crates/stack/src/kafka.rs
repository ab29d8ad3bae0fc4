//! Apache Kafka: one node in KRaft mode, broker and controller in one process.
//!
//! Set for a small machine and for faults: a killed broker is back within seconds, topics
//! are never made by accident, and consumer groups (KIP-848) notice a dead member soon.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::plan::{Plan, random};
use crate::{Server, StackError, wire};

const LOGGING: &str = "\
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c)%n
";

/// The command that makes a data folder.
pub(crate) fn format(plan: &Plan, data: &Path) -> Result<Command, StackError> {
    let settings = plan
        .folder
        .write_etc("kafka-format.properties", &settings(plan, data))?;
    let mut command = java(plan)?;
    command
        .arg("kafka.tools.StorageTool")
        .args(["format", "--cluster-id", &cluster_id()?, "--config"])
        .arg(settings);
    if let Some(secure) = &plan.endpoints.secure {
        let (user, password) = (&secure.kafka_user, &secure.kafka_password);
        command
            .arg("--add-scram")
            .arg(format!("SCRAM-SHA-512=[name={user},password={password}]"));
    }
    Ok(command)
}

/// The command that runs the server.
pub(crate) fn serve(plan: &Plan) -> Result<Command, StackError> {
    let data = plan.folder.data(Server::Kafka);
    let settings = plan
        .folder
        .write_etc("kafka.properties", &settings(plan, &data))?;
    let mut command = java(plan)?;
    command.arg("kafka.Kafka").arg(settings);
    Ok(command)
}

/// Whether the broker takes requests.
pub(crate) async fn look(plan: &Plan) -> Result<(), String> {
    wire::kafka(plan.ports.kafka()).await
}

fn java(plan: &Plan) -> Result<Command, StackError> {
    let option = |name: &str, value: &Path| {
        let mut option = OsString::from(name);
        option.push(value);
        option
    };
    let logging = plan.folder.write_etc("kafka-log4j2.properties", LOGGING)?;
    let tools = &plan.options.tools;
    let mut command = plan.command(&tools.java);
    command
        .arg(format!("-Xmx{}m", plan.options.kafka_heap_mib))
        // A short-lived server gains nothing from the second compiler or a parallel
        // collector, and the tests need the cores.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        // No files in the common /tmp, and no half-dead broker after it ran out of memory.
        .args(["-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError"])
        .arg(option("-Djava.io.tmpdir=", &plan.folder.tmp()))
        .arg(option("-Dlog4j2.configurationFile=", &logging));
    if let Some(classes) = &tools.kafka_classes {
        command.arg(option("-XX:SharedArchiveFile=", classes));
    }
    command.arg("-cp").arg(tools.kafka_libs.join("*"));
    Ok(command)
}

/// The server's settings: Kafka's documentation, "Broker Configs" of 4.3.
fn settings(plan: &Plan, data: &Path) -> String {
    let (broker, controller) = (plan.ports.kafka(), plan.ports.kafka_controller());
    let (behind_link, link) = (plan.ports.kafka_behind_link(), plan.ports.kafka_link());
    let (secure, tls) = match &plan.certificates {
        Some(certificates) => (
            format!(",SECURE://127.0.0.1:{}", plan.ports.kafka_secure()),
            secure_settings(&certificates.chain_with_key),
        ),
        None => (String::new(), String::new()),
    };
    format!(
        "\
{tls}\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},LINK://127.0.0.1:{behind_link}{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},LINK://127.0.0.1:{link}{secure}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LINK:PLAINTEXT,SECURE:SASL_SSL
log.dirs={data}
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=33554432
# A misspelt topic is an error, not a new topic.
auto.create.topics.enable=false
# One node: one copy of everything.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A broker that was killed may register again only when its old session has ended.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=1000
",
        data = data.display()
    )
}

/// The listener for clients with TLS and a password.
fn secure_settings(chain_with_key: &Path) -> String {
    format!(
        "\
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={}
",
        chain_with_key.display()
    )
}

/// A random identifier as `StorageTool random-uuid` makes it: 128 bits in 22 characters
/// of URL-safe base64.
fn cluster_id() -> Result<String, StackError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bytes = random::<16>()?;
    // The first byte of the text must not be `-`, which would look like an option, and the
    // last holds only two bits: 21 characters of six bits, one of two.
    let bits = u128::from_be_bytes(bytes) & (u128::MAX >> 1);
    let sextet = |index: u32| match index {
        21 => (bits & 0b11) << 4,
        _ => bits >> (122 - 6 * index) & 0x3f,
    };
    Ok((0..22)
        .map(|index| char::from(ALPHABET[sextet(index) as usize]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_are_22_characters_that_are_no_option() {
        for _ in 0..1000 {
            let id = cluster_id().unwrap();
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with(['-', '_']), "{id}");
            assert!(id.ends_with(['A', 'Q', 'g', 'w']), "{id}");
        }
    }
}
