//! Making a cluster's topics agree with a topology.
//!
//! Idempotent: a second call changes nothing. Settings that the topology does not name
//! are kept; so are topics that it does not name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::client::Logging;
use crate::config::KafkaConfig;
use crate::error::BusError;
use crate::topology::{Existing, Plan, Report, Topic, Topology, plan};

/// Longest wait for the brokers, each time they are asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the cluster agree with `topology`, or with `dry_run` only tells what that
/// would take.
pub async fn apply(
    config: &KafkaConfig,
    topology: &Topology,
    dry_run: bool,
) -> Result<Report, BusError> {
    let client: AdminClient<Logging> =
        config
            .client(&[])
            .create_with_context(Logging)
            .map_err(|reason| BusError::Config {
                servers: config.bootstrap_servers.clone(),
                reason,
            })?;
    let admin = Admin {
        client: Arc::new(client),
        config: config.clone(),
        dry_run,
    };
    admin.apply(topology).await
}

struct Admin {
    client: Arc<AdminClient<Logging>>,
    config: KafkaConfig,
    dry_run: bool,
}

/// The settings that stand on a topic itself, which an alteration must say again.
type OwnSettings = BTreeMap<String, String>;

impl Admin {
    async fn apply(&self, topology: &Topology) -> Result<Report, BusError> {
        let mut existing = self.partitions().await?;
        let mut report = Report::default();
        for topic in &topology.topics {
            let full = self.config.full_name(&topic.name);
            let Some(mut have) = existing.remove(&full) else {
                if !self.dry_run {
                    self.create(&full, topic).await?;
                }
                report.created.push(topic.name.clone());
                continue;
            };
            let own = self.describe(&full, &mut have).await?;
            let replicas = usize::from(self.config.replication_factor);
            let plan = plan(topic, &have, replicas);
            if plan == Plan::default() {
                report.unchanged.push(topic.name.clone());
                continue;
            }
            if !self.dry_run {
                self.change(&full, &plan, own).await?;
            }
            report.altered.extend(plan.altered);
            report.refused.extend(plan.refused);
        }
        Ok(report)
    }

    /// Every topic of the cluster, without its settings.
    async fn partitions(&self) -> Result<HashMap<String, Existing>, BusError> {
        let failed = |reason| BusError::kafka("list the topics", reason);
        // Asking for one topic by name could create it: ask for all.
        let client = Arc::clone(&self.client);
        let asked =
            tokio::task::spawn_blocking(move || client.inner().fetch_metadata(None, PATIENCE));
        let metadata = asked.await.map_err(|_| BusError::Closed("admin client"))?;
        let metadata = metadata.map_err(failed)?;
        let topics = metadata.topics().iter().map(|topic| {
            let replicas = topic.partitions().iter().map(|p| p.replicas().len()).min();
            let existing = Existing {
                partitions: topic.partitions().len(),
                replicas: replicas.unwrap_or_default(),
                settings: BTreeMap::new(),
            };
            (topic.name().to_owned(), existing)
        });
        Ok(topics.collect())
    }

    /// Adds the settings of a topic; gives those that stand on the topic itself.
    async fn describe(&self, full: &str, have: &mut Existing) -> Result<OwnSettings, BusError> {
        let doing = || format!("describe the settings of `{full}`");
        let resource = ResourceSpecifier::Topic(full);
        let described = self.client.describe_configs([&resource], &options());
        let described = described
            .await
            .map_err(|reason| BusError::kafka(doing(), reason))?;
        let mut own = OwnSettings::new();
        for resource in described {
            let resource = resource.map_err(|code| refused(doing(), code))?;
            for entry in resource.entries {
                let value = entry.value.unwrap_or_default();
                if entry.source == ConfigSource::DynamicTopic {
                    own.insert(entry.name.clone(), value.clone());
                }
                have.settings.insert(entry.name, value);
            }
        }
        Ok(own)
    }

    async fn create(&self, full: &str, topic: &Topic) -> Result<(), BusError> {
        let doing = || format!("create the topic `{full}`");
        let settings = topic.settings();
        let replicas = TopicReplication::Fixed(self.config.replication_factor.into());
        let mut new = NewTopic::new(full, topic.partitions.into(), replicas);
        for (name, value) in &settings {
            new = new.set(name, value);
        }
        let results = self.client.create_topics([&new], &options()).await;
        for result in results.map_err(|reason| BusError::kafka(doing(), reason))? {
            match result {
                // Somebody else applied the same topology at the same time.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(refused(doing(), code)),
            }
        }
        Ok(())
    }

    async fn change(&self, full: &str, plan: &Plan, own: OwnSettings) -> Result<(), BusError> {
        if let Some(count) = plan.grow_to {
            let doing = || format!("add partitions to `{full}`");
            let new = NewPartitions::new(full, count);
            let results = self.client.create_partitions([&new], &options()).await;
            for result in results.map_err(|reason| BusError::kafka(doing(), reason))? {
                result.map_err(|(_, code)| refused(doing(), code))?;
            }
        }
        if !plan.set.is_empty() {
            let doing = || format!("change the settings of `{full}`");
            // The call replaces everything that stands on the topic: say the rest again.
            let mut settings = own;
            settings.extend(plan.set.clone());
            let mut alter = AlterConfig::new(ResourceSpecifier::Topic(full));
            for (name, value) in &settings {
                alter = alter.set(name, value);
            }
            let results = self.client.alter_configs([&alter], &options()).await;
            for result in results.map_err(|reason| BusError::kafka(doing(), reason))? {
                result.map_err(|(_, code)| refused(doing(), code))?;
            }
        }
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}

fn refused(doing: String, code: RDKafkaErrorCode) -> BusError {
    BusError::kafka(doing, KafkaError::AdminOp(code))
}
