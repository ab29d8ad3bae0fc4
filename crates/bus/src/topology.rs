//! What topics there should be, and what it takes to get there.
//!
//! A topology is a TOML page of `[[topic]]`. Comparing it with a cluster gives steps
//! that lose nothing (create, add partitions, change settings) and differences that
//! are refused, each with its reason. Talking to the cluster is left to
//! [`crate::admin`].

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::BusError;

/// The topics of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Topology {
    /// The topics.
    #[serde(rename = "topic", default)]
    pub topics: Vec<Topic>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Topic {
    /// Name, without the deployment's prefix.
    pub name: String,
    /// Partitions: how many members of a group can share it.
    pub partitions: u16,
    /// Hours that a message is kept; with `cleanup = "compact"` not needed.
    pub retention_hours: Option<u32>,
    /// What happens to old messages.
    #[serde(default)]
    pub cleanup: Cleanup,
    /// What its keys are, for people.
    pub key: String,
    /// What it says, for people.
    pub description: String,
    /// Further settings of the topic, by Kafka's names.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// What happens to old messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cleanup {
    /// They are deleted by age.
    #[default]
    Delete,
    /// The last one of each key is kept for good.
    Compact,
}

impl Topology {
    /// Reads a page, and refuses one that contradicts itself.
    pub fn parse(text: &str) -> Result<Self, BusError> {
        let topology: Self =
            toml::from_str(text).map_err(|error| BusError::Topology(error.to_string()))?;
        let mut names = HashSet::new();
        for topic in &topology.topics {
            let wrong = |what: &str| {
                let name = &topic.name;
                Err(BusError::Topology(format!("topic `{name}` {what}")))
            };
            if !names.insert(&topic.name) {
                return wrong("is there twice");
            }
            if topic.partitions == 0 {
                return wrong("has no partitions");
            }
            if topic.cleanup == Cleanup::Delete && topic.retention_hours.is_none() {
                return wrong("does not say its retention-hours");
            }
        }
        Ok(topology)
    }
}

impl Topic {
    /// Every setting that the page asks for, by Kafka's names.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let cleanup = match self.cleanup {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
        };
        let mut settings = BTreeMap::from([("cleanup.policy".to_owned(), cleanup.to_owned())]);
        if let Some(hours) = self.retention_hours {
            let millis = u64::from(hours) * 3_600_000;
            settings.insert("retention.ms".to_owned(), millis.to_string());
        }
        settings.extend(self.config.clone());
        settings
    }
}

/// A topic as it stands on the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Existing {
    /// Partitions.
    pub partitions: usize,
    /// The least number of replicas of a partition.
    pub replicas: usize,
    /// The values of all its settings.
    pub settings: BTreeMap<String, String>,
}

/// Something that is not as the topology says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The topic.
    pub topic: String,
    /// What differs: `partitions`, `replicas` or the name of a setting.
    pub what: String,
    /// What the cluster has.
    pub have: String,
    /// What the topology asks for.
    pub want: String,
    /// Why it is refused; empty if it is not.
    pub why: String,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Topics created.
    pub created: Vec<String>,
    /// What was changed.
    pub altered: Vec<Difference>,
    /// Topics that were as they should be.
    pub unchanged: Vec<String>,
    /// What cannot be changed without loss, or not by us.
    pub refused: Vec<Difference>,
}

/// What the topology asks of a topic that exists.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) grow_to: Option<usize>,
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) altered: Vec<Difference>,
    pub(crate) refused: Vec<Difference>,
}

/// Compares a topic with what the topology asks of it.
pub(crate) fn plan(want: &Topic, have: &Existing, replicas: usize) -> Plan {
    let difference = |what: &str, have: &str, want_value: &str, why: &str| Difference {
        topic: want.name.clone(),
        what: what.to_owned(),
        have: have.to_owned(),
        want: want_value.to_owned(),
        why: why.to_owned(),
    };
    let count = |what, have: usize, want: usize, why| {
        difference(what, &have.to_string(), &want.to_string(), why)
    };
    let mut plan = Plan::default();
    let partitions = usize::from(want.partitions);
    if partitions > have.partitions {
        plan.grow_to = Some(partitions);
        plan.altered
            .push(count("partitions", have.partitions, partitions, ""));
    } else if partitions < have.partitions {
        let why = "kafka cannot take partitions away: make a topic of another name and move over";
        plan.refused
            .push(count("partitions", have.partitions, partitions, why));
    }
    if replicas != have.replicas {
        let why = "replicas are moved with kafka-reassign-partitions, partition by partition";
        plan.refused
            .push(count("replicas", have.replicas, replicas, why));
    }
    for (name, value) in want.settings() {
        let now = have.settings.get(&name).map_or("", String::as_str);
        if now != value {
            plan.altered.push(difference(&name, now, &value, ""));
            plan.set.insert(name, value);
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use aquifer_schemas::{
        AlertSignal, DeadLetter, EventsTaken, FileStored, Message as _, PurgeOrder, Purged,
        RunClosed, RunOpened, RunStored, SlowSample, schemas,
    };

    use super::*;

    fn topic() -> Topic {
        let page = r#"
            [[topic]]
            name = "runs"
            description = "Runs."
            key = "<site>/<run>"
            partitions = 6
            retention-hours = 2
            config = { "max.message.bytes" = "4" }
        "#;
        Topology::parse(page).unwrap().topics.remove(0)
    }

    fn existing() -> Existing {
        let settings = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "7200000"),
            ("max.message.bytes", "4"),
            ("min.insync.replicas", "2"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Existing {
            partitions: 6,
            replicas: 1,
            settings: settings.into(),
        }
    }

    #[test]
    fn a_topic_that_agrees_needs_nothing() {
        assert_eq!(plan(&topic(), &existing(), 1), Plan::default());
    }

    #[test]
    fn what_loses_nothing_is_done() {
        let mut have = existing();
        have.partitions = 3;
        have.settings
            .insert("retention.ms".to_owned(), "1".to_owned());
        let plan = plan(&topic(), &have, 1);
        assert_eq!(plan.grow_to, Some(6));
        assert_eq!(plan.set["retention.ms"], "7200000");
        assert_eq!(plan.set.len(), 1, "only what differs");
        assert_eq!((plan.altered.len(), plan.refused.len()), (2, 0));
    }

    #[test]
    fn what_would_lose_is_refused_with_a_reason() {
        let mut have = existing();
        have.partitions = 12;
        let plan = plan(&topic(), &have, 3);
        assert_eq!(plan.grow_to, None);
        let what: Vec<&str> = plan.refused.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(what, ["partitions", "replicas"]);
        assert!(
            plan.refused
                .iter()
                .all(|difference| !difference.why.is_empty())
        );
    }

    #[test]
    fn a_page_that_contradicts_itself_is_refused() {
        let head = "[[topic]]\nname = \"a\"\ndescription = \"\"\nkey = \"\"\n";
        let twice = format!("{head}partitions = 1\nretention-hours = 1\n").repeat(2);
        for page in [
            twice,
            format!("{head}partitions = 0\nretention-hours = 1\n"),
            format!("{head}partitions = 1\n"),
            format!("{head}partitions = 1\nretention-hours = 1\nretain = 1\n"),
        ] {
            let error = Topology::parse(&page).unwrap_err();
            assert!(matches!(error, BusError::Topology(_)), "{page}");
        }
    }

    #[test]
    fn the_topics_of_the_house_are_those_of_its_messages() {
        let page = include_str!("../../../topology/topics.toml");
        let topology = Topology::parse(page).unwrap();
        let mut declared: Vec<&str> = topology.topics.iter().map(|t| t.name.as_str()).collect();
        declared.sort_unstable();
        let mut spoken = [
            RunOpened::TOPIC,
            RunClosed::TOPIC,
            FileStored::TOPIC,
            RunStored::TOPIC,
            EventsTaken::TOPIC,
            PurgeOrder::TOPIC,
            Purged::TOPIC,
            SlowSample::TOPIC,
            AlertSignal::TOPIC,
            DeadLetter::TOPIC,
            crate::decode::SCHEMAS_TOPIC,
        ];
        spoken.sort_unstable();
        assert_eq!(spoken.len(), schemas().len() + 1, "no message is left out");
        assert_eq!(declared, spoken);
    }
}
