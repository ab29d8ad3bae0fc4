//! What the catalogue tells of a run, its history checked against the state machines.

use std::collections::BTreeMap;

use aquifer_catalogue::{Catalogue, RunDetail, TransitionRow, machine};
use aquifer_schemas::{Announcement, FileState, PurgeState, ReplicaState, RunId, RunState};

pub(crate) async fn detail(catalogue: &Catalogue, id: &RunId) -> RunDetail {
    catalogue.run_detail(id).await.unwrap().unwrap()
}

pub(crate) async fn outbox(catalogue: &Catalogue) -> Vec<Announcement> {
    catalogue.outbox_batch(1000).await.unwrap()
}

pub(crate) fn topics(rows: &[Announcement]) -> Vec<&str> {
    rows.iter().map(|row| row.topic.as_str()).collect()
}

/// Every step in the history follows the one before and is one of its machine's.
pub(crate) fn check_history(detail: &RunDetail) {
    let mut states: BTreeMap<(String, u64), String> = BTreeMap::new();
    // The first type of a run is no step: it comes with the run.
    let states_only = |step: &&TransitionRow| step.entity != "type";
    for step in detail.transitions.iter().filter(states_only) {
        let entity = (step.entity.clone(), step.entity_row);
        let before = states.insert(entity, step.to.clone());
        assert_eq!(before, step.from, "{step:?}");
        let legal = match step.entity.as_str() {
            "run" => legal::<RunState>(step.from.as_deref(), &step.to),
            "file" => legal::<FileState>(step.from.as_deref(), &step.to),
            "replica" => legal::<ReplicaState>(step.from.as_deref(), &step.to),
            "order" => legal::<PurgeState>(step.from.as_deref(), &step.to),
            other => panic!("{other}"),
        };
        assert!(legal, "{step:?}");
    }
    let end = |entity: &str, row: u64| states.get(&(entity.to_owned(), row)).cloned().unwrap();
    assert_eq!(end("run", detail.row.row), detail.row.state.as_str());
    for file in &detail.files {
        assert_eq!(end("file", file.row), file.state.as_str());
    }
    for replica in &detail.replicas {
        assert_eq!(end("replica", replica.row), replica.state.as_str());
    }
}

fn legal<S: machine::Machine + std::str::FromStr>(from: Option<&str>, to: &str) -> bool {
    let Ok(to) = to.parse::<S>() else {
        return false;
    };
    match from {
        None => to.may_begin(),
        Some(from) => from
            .parse::<S>()
            .is_ok_and(|from| from.successors().contains(&to)),
    }
}
