//! How to reach Kafka.

use std::collections::BTreeMap;

use aquifer_runtime::config::Secret;
use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::registry::RegistryConfig;

/// How to reach Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Brokers to begin with, `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Put before the name of every topic and consumer group, so that several
    /// deployments can share a cluster.
    pub topic_prefix: String,
    /// How this program calls itself at the brokers.
    pub client_id: String,
    /// Copies that a new topic gets of each partition; not more than there are brokers.
    pub replication_factor: u16,
    /// Further settings of librdkafka, passed last: TLS and SASL, for example
    /// `"security.protocol" = "SASL_SSL"`. Values never appear in logs or dumps.
    pub properties: BTreeMap<String, Secret>,
    /// Where schemas are kept beside the bus.
    pub schema_registry: RegistryConfig,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            topic_prefix: String::new(),
            client_id: "aquifer".to_owned(),
            replication_factor: 1,
            properties: BTreeMap::new(),
            schema_registry: RegistryConfig::default(),
        }
    }
}

impl KafkaConfig {
    /// The name on the cluster of a topic or group.
    pub(crate) fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix)
    }

    /// The name in the house of a topic on the cluster.
    pub(crate) fn short_name<'a>(&self, full: &'a str) -> &'a str {
        full.strip_prefix(&self.topic_prefix).unwrap_or(full)
    }

    /// A client's settings: `ours`, then the deployment's.
    pub(crate) fn client(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            // A broker that restarts is back within seconds: do not sleep past it.
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true");
        for (name, value) in ours {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value.reveal());
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_come_last_and_stay_hidden() {
        let text = r#"
            bootstrap-servers = "kafka:9092"
            topic-prefix = "test."
            [properties]
            "sasl.password" = "hush"
            "acks" = "1"
        "#;
        let config: KafkaConfig = toml::from_str(text).unwrap();
        let client = config.client(&[("acks", "all")]);
        assert_eq!(client.get("acks"), Some("1"));
        assert_eq!(client.get("sasl.password"), Some("hush"));
        assert!(!format!("{config:?}").contains("hush"));
        assert!(!toml::to_string(&config).unwrap().contains("hush"));
        assert_eq!(config.full_name("a"), "test.a");
        assert_eq!(config.short_name("test.a"), "a");
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(toml::from_str::<KafkaConfig>("bootstrap-server = \"x\"").is_err());
    }
}
