//! The truth about a deployment, from sources that do not know each other: what the
//! simulated DAQ wrote, what the storage holds byte for byte, what the catalogue says,
//! and what was announced.

use std::collections::{BTreeMap, BTreeSet};

use aquifer_bus::read_all;
use aquifer_schemas::{AlertSignal, Decoder, Message, RunClosed, RunStored};
use aquifer_storage::StorageElement;
use futures::TryStreamExt;
use serde_json::Value;

use crate::deployment::Deployment;

impl Deployment {
    /// How many runs the catalogue has in `state`.
    pub(crate) fn count(&self, state: &str) -> usize {
        let output = self.run(&["runs", "list", "--state", state, "-n", "10000", "--json"]);
        let runs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        runs.len()
    }

    /// Waits until `runs` runs are stored and announced.
    pub(crate) fn wait_stored(&self, runs: usize) {
        self.wait_until(&format!("{runs} runs stored"), || {
            self.count("stored") >= runs
        });
        self.wait_until("announcements out", || self.announced().len() >= runs);
    }

    /// The audit's report; `extra` are more flags.
    pub(crate) fn audit(&self, extra: &[&str]) -> Value {
        let mut args = vec!["audit", "--json"];
        args.extend(extra);
        let output = self.run(&args);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Waits until the outbox is empty: what was published is deleted a moment later.
    pub(crate) fn wait_told(&self) {
        self.wait_until("nothing waits in the outbox", || {
            self.audit(&["--strict"])["announcements_overdue"] == 0
        });
    }

    /// Every announced run, with what the announcements say.
    pub(crate) fn announced(&self) -> BTreeMap<u64, Vec<RunStored>> {
        let records = self
            .runtime
            .block_on(read_all(&self.kafka(), RunStored::TOPIC))
            .unwrap_or_default();
        let decoder = Decoder::new();
        let mut runs: BTreeMap<u64, Vec<RunStored>> = BTreeMap::new();
        for record in records {
            let message: RunStored = decoder.decode(&record.value.unwrap()).unwrap();
            runs.entry(message.run).or_default().push(message);
        }
        runs
    }

    /// Checks that each of `runs` runs is stored once, announced, equal in checksum,
    /// that nothing stands twice in the storage, and that the audit finds nothing.
    pub(crate) fn check_conserved(&self, runs: usize) {
        self.wait_told();
        let report = self.audit(&["--read-back", "--strict"]);
        assert_eq!(report["unaccounted"], 0, "{report:#}\n{}", self.logs());
        assert_eq!(report["tally"]["stored"], runs, "{report:#}");
        self.check_objects(runs);
        let announced = self.announced();
        assert_eq!(announced.len(), runs, "every run is announced");
        for (run, messages) in announced {
            // Said again is the same said: an event id never has two meanings.
            let said: BTreeMap<_, _> = messages.iter().map(|m| (m.event_id, m)).collect();
            for message in &messages {
                assert_eq!(said[&message.event_id], message, "run {run}");
            }
            let revisions: BTreeSet<_> = said.values().map(|m| m.revision).collect();
            assert_eq!(
                revisions.len(),
                said.len(),
                "run {run}: a revision is announced once"
            );
        }
    }

    fn check_objects(&self, runs: usize) {
        let element = self.storage();
        let keys = self.runtime.block_on(async {
            let pages: Vec<_> = element.list("raw/").try_collect().await.unwrap();
            pages.into_iter().flatten().map(|object| object.key)
        });
        let files: Vec<_> = keys.filter(|key| !key.contains("/manifest.r")).collect();
        let names: BTreeSet<_> = files.iter().map(|key| key.rsplit('/').next()).collect();
        assert_eq!(files.len(), runs, "one object per file: {files:?}");
        assert_eq!(names.len(), runs, "no file twice: {files:?}");
    }
}

impl Deployment {
    /// Every signal that was announced.
    pub(crate) fn signals(&self) -> Vec<AlertSignal> {
        self.on_bus()
    }

    /// Every run that was announced as closed.
    pub(crate) fn closed_on_bus(&self) -> Vec<RunClosed> {
        self.on_bus()
    }

    fn on_bus<M: Message>(&self) -> Vec<M> {
        let records = self
            .runtime
            .block_on(read_all(&self.kafka(), M::TOPIC))
            // As long as the broker does not know the topic there was none.
            .unwrap_or_default();
        let decoder = Decoder::new();
        let messages = records
            .iter()
            .map(|record| decoder.decode(record.value.as_ref().unwrap()).unwrap());
        messages.collect()
    }
}
