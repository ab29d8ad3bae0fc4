//! How a draft is saved: run, attributes, files, replicas, history, outbox, in this order
//! and in one transaction, of one run or of many, with many rows in a statement.

use aquifer_schemas::{ClosedBy, RunId};
use mysql_async::prelude::Queryable;
use mysql_async::{Transaction, Value};

use crate::announce::Mail;
use crate::draft::{About, Draft, Step, TypeChange};
use crate::error::CatalogueError;
use crate::facts::AttributeValue;
use crate::rows::{FileRow, ReplicaRow, RunRow};
use crate::sql::{Insert, opt_time, time};

/// Saves what changed and gives new rows their ids.
pub(crate) async fn save(
    tx: &mut Transaction<'_>,
    draft: &mut Draft,
    who: &str,
    mail: Vec<Mail>,
) -> Result<(), CatalogueError> {
    save_all(tx, std::slice::from_mut(draft), who).await?;
    post(tx, mail).await
}

/// Saves what changed of many runs, of which nothing is announced.
pub(crate) async fn save_all(
    tx: &mut Transaction<'_>,
    drafts: &mut [Draft],
    who: &str,
) -> Result<(), CatalogueError> {
    insert_runs(tx, drafts).await?;
    for draft in drafts.iter_mut() {
        if let Some((_, revision)) = draft.before {
            update_run(tx, &mut draft.run, revision).await?;
        }
    }
    save_attributes(tx, drafts).await?;
    save_files(tx, drafts).await?;
    save_replicas(tx, drafts).await?;
    save_steps(tx, drafts, who).await
}

fn run_facts(run: &RunRow) -> Vec<Value> {
    vec![
        run.state.as_str().into(),
        run.revision.into(),
        run.run_type.clone().into(),
        run.type_by.clone().into(),
        opt_time(run.started_at),
        opt_time(run.ended_at),
        run.closed_by.map(ClosedBy::as_str).into(),
        run.events.into(),
        run.files.into(),
        run.sealed_files.into(),
        run.bytes.into(),
        run.trace.clone().into(),
        run.manifest_key.clone().into(),
        opt_time(run.stored_at),
    ]
}

const RUN_COLUMNS: [&str; 17] = [
    "site",
    "number",
    "version",
    "state",
    "revision",
    "run_type",
    "type_by",
    "started_at",
    "ended_at",
    "closed_by",
    "events",
    "files",
    "sealed_files",
    "bytes",
    "traceparent",
    "manifest_key",
    "stored_at",
];

async fn insert_runs(tx: &mut Transaction<'_>, drafts: &mut [Draft]) -> Result<(), CatalogueError> {
    let mut new: Vec<&mut RunRow> = drafts
        .iter_mut()
        .filter(|draft| draft.before.is_none())
        .map(|draft| &mut draft.run)
        .collect();
    let rows = new.iter().map(|run| {
        let id = &run.id;
        let mut values: Vec<Value> =
            vec![id.site.as_str().into(), id.number.into(), id.version.into()];
        values.extend(run_facts(run));
        values
    });
    let insert = Insert {
        table: "run",
        columns: &RUN_COLUMNS,
        tail: "",
        rows: rows.collect(),
    };
    let given = insert.returning(tx, "id,created_at,updated_at").await;
    let site = new.first().map(|run| run.id.site.clone());
    let given = given.map_err(|error| match site {
        Some(site) if error.breaks("run_site") => CatalogueError::UnknownSite { site },
        _ => error,
    })?;
    for (run, mut columns) in new.iter_mut().zip(given) {
        run.row = columns.next()?;
        run.created_at = columns.time()?;
        run.updated_at = columns.time()?;
        run.taken_at = run.started_at.or(run.ended_at).unwrap_or(run.created_at);
    }
    Ok(())
}

async fn update_run(
    tx: &mut Transaction<'_>,
    run: &mut RunRow,
    revision: u64,
) -> Result<(), CatalogueError> {
    let mut values = run_facts(run);
    values.extend([time(run.updated_at), run.row.into(), revision.into()]);
    let result = tx
        .exec_iter(
            "UPDATE run SET state=?,revision=?,run_type=?,type_by=?,started_at=?,ended_at=?,closed_by=?,\
             events=?,files=?,sealed_files=?,bytes=?,traceparent=?,manifest_key=?,stored_at=?,\
             updated_at=? WHERE id=? AND revision=?",
            values,
        )
        .await
        .map_err(CatalogueError::server("update a run"))?;
    // The row is locked, so only a writer that ignores the lock could have changed it.
    if result.affected_rows() != 1 {
        return Err(unsaved(&run.id, revision));
    }
    drop(result);
    let taken_at = run.started_at.or(run.ended_at).unwrap_or(run.created_at);
    if taken_at != run.taken_at {
        run.taken_at = taken_at;
        tx.exec_drop(
            "UPDATE run_attribute SET taken_at=? WHERE run_id=?",
            (time(taken_at), run.row),
        )
        .await
        .map_err(CatalogueError::server("update a run"))?;
    }
    Ok(())
}

fn unsaved(run: &RunId, revision: u64) -> CatalogueError {
    CatalogueError::StaleFence {
        what: format!("the lock of run {run}"),
        fence: revision,
    }
}

async fn save_attributes(tx: &mut Transaction<'_>, drafts: &[Draft]) -> Result<(), CatalogueError> {
    delete_attributes(tx, drafts).await?;
    let columns = [
        "run_id",
        "name",
        "text_value",
        "number_value",
        "bool_value",
        "unit",
        "taken_at",
    ];
    // A new run has no rows that the server would have to look for.
    for (new, tail) in [(true, ""), (false, replacing(&columns[2..]).as_str())] {
        let drafts = drafts.iter().filter(|draft| draft.before.is_none() == new);
        let insert = Insert {
            table: "run_attribute",
            columns: &columns,
            tail,
            rows: drafts.flat_map(attribute_values).collect(),
        };
        insert.run(tx).await?;
    }
    Ok(())
}

async fn delete_attributes(
    tx: &mut Transaction<'_>,
    drafts: &[Draft],
) -> Result<(), CatalogueError> {
    for draft in drafts {
        let changed = draft.changed_attributes.iter();
        for name in changed.filter(|name| !draft.attributes.contains_key(*name)) {
            let query = "DELETE FROM run_attribute WHERE run_id=? AND name=?";
            tx.exec_drop(query, (draft.run.row, name))
                .await
                .map_err(CatalogueError::server("update a run"))?;
        }
    }
    Ok(())
}

fn attribute_values(draft: &Draft) -> impl Iterator<Item = Vec<Value>> {
    draft.changed_attributes.iter().filter_map(|name| {
        let attribute = draft.attributes.get(name)?;
        let (mut text, mut number, mut bool) = (Value::NULL, Value::NULL, Value::NULL);
        match &attribute.value {
            AttributeValue::Text(value) => text = value.as_str().into(),
            AttributeValue::Number(value) => number = (*value).into(),
            AttributeValue::Bool(value) => bool = (*value).into(),
        }
        Some(vec![
            draft.run.row.into(),
            name.as_str().into(),
            text,
            number,
            bool,
            attribute.unit.clone().into(),
            time(draft.run.taken_at),
        ])
    })
}

/// ` ON DUPLICATE KEY UPDATE` of these columns: existing rows are changed in the same
/// statement that adds new ones.
fn replacing(columns: &[&str]) -> String {
    let sets = columns
        .iter()
        .map(|column| format!("{column}=VALUES({column})"));
    format!(
        " ON DUPLICATE KEY UPDATE {}",
        sets.collect::<Vec<_>>().join(",")
    )
}

/// ` ON DUPLICATE KEY UPDATE` of these columns and of the time of the change.
fn replacing_now(columns: &[&str]) -> String {
    format!("{},updated_at=NOW(6)", replacing(columns))
}

const FILE_COLUMNS: [&str; 18] = [
    "run_id",
    "name",
    "state",
    "announced_size",
    "size",
    "crc64nvme",
    "adler32",
    "crc32c",
    "buffer",
    "buffer_dev",
    "buffer_ino",
    "buffer_size",
    "buffer_mtime_ns",
    "buffer_ctime_ns",
    "sealed_at",
    "stored_at",
    "safe_at",
    "reason",
];

fn file_values(run: u64, file: &FileRow) -> Vec<Value> {
    let identity = file.identity;
    vec![
        run.into(),
        file.name.as_str().into(),
        file.state.as_str().into(),
        file.announced_size.into(),
        file.size.into(),
        file.crc64nvme.clone().into(),
        file.adler32.clone().into(),
        file.crc32c.clone().into(),
        file.buffer.clone().into(),
        identity.map(|identity| identity.dev).into(),
        identity.map(|identity| identity.ino).into(),
        identity.map(|identity| identity.size).into(),
        identity.map(|identity| identity.mtime_ns).into(),
        identity.map(|identity| identity.ctime_ns).into(),
        opt_time(file.sealed_at),
        opt_time(file.stored_at),
        opt_time(file.safe_at),
        file.reason.clone().into(),
    ]
}

async fn save_files(tx: &mut Transaction<'_>, drafts: &mut [Draft]) -> Result<(), CatalogueError> {
    let dirty = drafts.iter().flat_map(|draft| {
        let dirty = draft.files.iter().filter(|file| file.dirty);
        dirty.map(|file| file_values(draft.run.row, &file.row))
    });
    let insert = Insert {
        table: "file",
        columns: &FILE_COLUMNS,
        tail: &replacing_now(&FILE_COLUMNS[2..]),
        rows: dirty.collect(),
    };
    let ids = insert.ids(tx).await;
    let ids = ids.map_err(|error| unknown_element(error, "file_buffer", drafts))?;
    let files = drafts.iter_mut().flat_map(|draft| &mut draft.files);
    for (file, id) in files.filter(|file| file.dirty).zip(ids) {
        file.row.row = id;
    }
    Ok(())
}

const REPLICA_COLUMNS: [&str; 13] = [
    "file_id",
    "element",
    "state",
    "encoding",
    "bucket",
    "location",
    "stored_size",
    "stored_crc64nvme",
    "evidence",
    "evidence_method",
    "evidence_value",
    "evidence_at",
    "fence",
];

fn replica_values(file: u64, replica: &ReplicaRow) -> Vec<Value> {
    vec![
        file.into(),
        replica.element.as_str().into(),
        replica.state.as_str().into(),
        replica.encoding.as_str().into(),
        replica.bucket.clone().into(),
        replica.location.as_str().into(),
        replica.stored_size.into(),
        replica.stored_crc64nvme.clone().into(),
        replica.evidence.as_str().into(),
        replica.evidence_method.as_str().into(),
        replica.evidence_value.as_str().into(),
        time(replica.evidence_at),
        replica.fence.into(),
    ]
}

async fn save_replicas(
    tx: &mut Transaction<'_>,
    drafts: &mut [Draft],
) -> Result<(), CatalogueError> {
    let dirty = drafts.iter().flat_map(|draft| {
        let dirty = draft.replicas.iter().filter(|replica| replica.dirty);
        dirty.map(|replica| replica_values(draft.file_row(&replica.row.file), &replica.row))
    });
    let insert = Insert {
        table: "replica",
        columns: &REPLICA_COLUMNS,
        tail: &replacing_now(&REPLICA_COLUMNS[2..]),
        rows: dirty.collect(),
    };
    let ids = insert.ids(tx).await;
    let ids = ids.map_err(|error| unknown_element(error, "replica_element", drafts))?;
    let replicas = drafts.iter_mut().flat_map(|draft| &mut draft.replicas);
    for (replica, id) in replicas.filter(|replica| replica.dirty).zip(ids) {
        replica.row.row = id;
    }
    Ok(())
}

fn unknown_element(error: CatalogueError, constraint: &str, drafts: &[Draft]) -> CatalogueError {
    if !error.breaks(constraint) {
        return error;
    }
    let files = drafts.iter().flat_map(|draft| &draft.files);
    let buffers = files.filter_map(|file| file.row.buffer.clone());
    let copies = drafts.iter().flat_map(|draft| &draft.replicas);
    let copies = copies.map(|copy| copy.row.element.clone());
    let mut elements: Vec<String> = buffers.chain(copies).collect();
    elements.sort();
    elements.dedup();
    CatalogueError::UnknownElement { elements }
}

async fn save_steps(
    tx: &mut Transaction<'_>,
    drafts: &[Draft],
    who: &str,
) -> Result<(), CatalogueError> {
    let columns = [
        "run_id",
        "entity",
        "entity_id",
        "from_state",
        "to_state",
        "who",
        "why",
        "evidence",
        "revision",
    ];
    let rows = drafts.iter().flat_map(|draft| {
        let steps = draft.steps.iter();
        let steps = steps.map(move |step| step_values(draft, step, who));
        let retyped = draft.retyped.iter();
        steps.chain(retyped.map(move |why| type_values(draft, why, who)))
    });
    let insert = Insert {
        table: "transition",
        columns: &columns,
        tail: "",
        rows: rows.collect(),
    };
    insert.run(tx).await?;
    Ok(())
}

fn step_values(draft: &Draft, step: &Step, who: &str) -> Vec<Value> {
    let (entity, entity_id) = match step.about {
        About::Run => ("run", draft.run.row),
        About::File(place) => ("file", draft.files[place].row.row),
        About::Replica(place) => ("replica", draft.replicas[place].row.row),
        About::Order(row) => ("order", row),
    };
    vec![
        draft.run.row.into(),
        entity.into(),
        entity_id.into(),
        step.from.into(),
        step.to.into(),
        who.into(),
        step.why.as_str().into(),
        step.evidence.as_ref().map(ToString::to_string).into(),
        draft.run.revision.into(),
    ]
}

fn type_values(draft: &Draft, change: &TypeChange, who: &str) -> Vec<Value> {
    let run = &draft.run;
    vec![
        run.row.into(),
        "type".into(),
        run.row.into(),
        change.from.as_deref().into(),
        run.run_type.as_deref().unwrap_or_default().into(),
        who.into(),
        change.why.as_str().into(),
        Value::NULL,
        run.revision.into(),
    ]
}

/// Puts announcements into the outbox. One that waits there already is not repeated.
pub(crate) async fn post(tx: &mut impl Queryable, mail: Vec<Mail>) -> Result<(), CatalogueError> {
    let columns = ["topic", "message_key", "value", "event_id", "traceparent"];
    let rows = mail.into_iter().map(|mail| {
        vec![
            mail.topic.into(),
            mail.key.into(),
            mail.value.into(),
            mail.event_id.as_bytes().as_slice().into(),
            mail.trace.into(),
        ]
    });
    let insert = Insert {
        table: "outbox",
        columns: &columns,
        tail: " ON DUPLICATE KEY UPDATE event_id=event_id",
        rows: rows.collect(),
    };
    insert.run(tx).await?;
    Ok(())
}
