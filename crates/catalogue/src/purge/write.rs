//! The writers of orders. Each is one transaction under the run's lock and may be called
//! again.

use aquifer_schemas::{OrderedFile, PurgeOrder, PurgeOutcome, PurgeState, Purged, RunId, event_id};
use mysql_async::prelude::Queryable;
use mysql_async::{Transaction, Value};
use uuid::Uuid;

use super::apply;
use super::read::orders;
use super::{NewPurgeOrder, PurgeOrderRow, PurgeStep};
use crate::announce::{self, Mail};
use crate::catalogue::{Catalogue, begin, commit, first};
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::load::{lock_run, run_id};
use crate::save::save;
use crate::sql::{Insert, opt_time};

/// Longest note that is kept, in characters.
const LONGEST_NOTE: usize = 4000;

impl Catalogue {
    /// Gives an order: takes its files to `purge_ordered`, renews the evidence of the
    /// copies that stay, and announces `purge-order`. The same order given again is
    /// returned as it stands.
    ///
    /// Errors: [`CatalogueError::NotPurgeable`] if the run is held or not stored, a file
    /// is ordered already, or its evidence is too weak, too old or of other bytes;
    /// [`CatalogueError::UnknownRun`], [`CatalogueError::UnknownElement`], outages.
    pub async fn order_purge(&self, new: &NewPurgeOrder) -> Result<PurgeOrderRow, CatalogueError> {
        self.restarting("order a purge", || async {
            let mut conn = self.conn().await?;
            let mut tx = begin(&mut conn).await?;
            let mut draft = lock_run(&mut tx, &new.run).await?;
            let known = one_order(&mut tx, new.order).await?;
            if known.is_none() {
                apply::propose(&mut draft, new)?;
                let row = insert_order(&mut tx, &draft, new).await?;
                draft.log_order(row, None, PurgeState::Proposed, &new.reason, None);
                draft.finish()?;
                let mail = ordered(&draft, new)?;
                save(&mut tx, &mut draft, &new.who, vec![mail]).await?;
                insert_files(&mut tx, &draft, row, new).await?;
            }
            let order = one_order(&mut tx, new.order).await?;
            commit(tx).await?;
            order.ok_or(CatalogueError::UnknownOrder { order: new.order })
        })
        .await
    }

    /// Takes an order a step further, with its files and their copies in the buffer, and
    /// announces `purged` when it ends. Returns the order as it stands then: where it was
    /// ended otherwise, or its files were asked back, that is not where the step leads.
    ///
    /// Errors: [`CatalogueError::IllegalTransition`], [`CatalogueError::UnknownOrder`],
    /// outages.
    pub async fn advance_purge(
        &self,
        order: Uuid,
        step: &PurgeStep,
        who: &str,
    ) -> Result<PurgeOrderRow, CatalogueError> {
        let apply = |draft: &mut Draft, row: &mut PurgeOrderRow| apply::advance(draft, row, step);
        let announce = |draft: &Draft, row: &PurgeOrderRow| match step {
            PurgeStep::Deleted => Ok(vec![ended(draft, row, PurgeOutcome::Purged, who)?]),
            PurgeStep::Cancelled { signals, .. } => {
                let mut mail = vec![ended(draft, row, PurgeOutcome::Cancelled, who)?];
                mail.extend(announce::signals(draft, signals)?);
                Ok(mail)
            }
            _ => Ok(Vec::new()),
        };
        self.change_order("advance a purge", order, who, apply, announce)
            .await
    }

    /// Asks for the files of an order back. One that touched nothing yet is void at once;
    /// otherwise who frees the buffer moves them back. Asking again changes nothing.
    ///
    /// Errors: [`CatalogueError::NotRestorable`] once its files are being deleted or are
    /// gone; [`CatalogueError::UnknownOrder`], outages.
    pub async fn ask_restore(
        &self,
        order: Uuid,
        who: &str,
        reason: &str,
    ) -> Result<PurgeOrderRow, CatalogueError> {
        let apply = |draft: &mut Draft, row: &mut PurgeOrderRow| {
            if row.unlinking_at.is_some() {
                return Err(CatalogueError::NotRestorable {
                    order,
                    why: "they are deleted".to_owned(),
                });
            }
            match row.state {
                PurgeState::Proposed => apply::advance(draft, row, &cancelled_by(who, reason)),
                PurgeState::Checked | PurgeState::Trashed if row.restore_by.is_none() => {
                    row.restore_by = Some(who.to_owned());
                    row.restore_reason = Some(reason.to_owned());
                    Ok(true)
                }
                _ => Ok(false),
            }
        };
        let announce = |draft: &Draft, row: &PurgeOrderRow| match row.state {
            PurgeState::Cancelled => Ok(vec![ended(draft, row, PurgeOutcome::Cancelled, who)?]),
            _ => Ok(Vec::new()),
        };
        self.change_order("ask files back", order, who, apply, announce)
            .await
    }

    /// Says what an order waits for.
    pub async fn note_purge(&self, order: Uuid, note: &str) -> Result<(), CatalogueError> {
        let note: String = note.chars().take(LONGEST_NOTE).collect();
        self.restarting("note on a purge", || async {
            let mut conn = self.conn().await?;
            let query = "UPDATE purge_order SET note=? WHERE order_id=? \
                         AND state NOT IN ('deleted','cancelled')";
            let params = (note.as_str(), order.as_bytes().as_slice());
            let failed = CatalogueError::server("note on a purge");
            conn.exec_drop(query, params).await.map_err(failed)
        })
        .await
    }

    async fn change_order(
        &self,
        what: &'static str,
        order: Uuid,
        who: &str,
        apply: impl Fn(&mut Draft, &mut PurgeOrderRow) -> Result<bool, CatalogueError>,
        announce: impl Fn(&Draft, &PurgeOrderRow) -> Result<Vec<Mail>, CatalogueError>,
    ) -> Result<PurgeOrderRow, CatalogueError> {
        let (apply, announce) = (&apply, &announce);
        let unknown = || CatalogueError::UnknownOrder { order };
        self.restarting(what, || async move {
            let mut conn = self.conn().await?;
            let mut tx = begin(&mut conn).await?;
            let run = run_of(&mut tx, order).await?.ok_or_else(unknown)?;
            // The run's lock is the order's: every writer of orders takes it first.
            let mut draft = lock_run(&mut tx, &run).await?;
            let mut row = one_order(&mut tx, order).await?.ok_or_else(unknown)?;
            if apply(&mut draft, &mut row)? {
                if draft.finish()? {
                    let mail = announce(&draft, &row)?;
                    save(&mut tx, &mut draft, who, mail).await?;
                }
                update_order(&mut tx, &row).await?;
                row = one_order(&mut tx, order).await?.ok_or_else(unknown)?;
            }
            commit(tx).await?;
            Ok(row)
        })
        .await
    }
}

fn cancelled_by(who: &str, reason: &str) -> PurgeStep {
    PurgeStep::Cancelled {
        reason: format!("withdrawn by {who}: {reason}"),
        found: std::collections::BTreeMap::new(),
        signals: Vec::new(),
    }
}

async fn run_of(tx: &mut Transaction<'_>, order: Uuid) -> Result<Option<RunId>, CatalogueError> {
    let query = "SELECT r.site,r.number,r.version FROM purge_order o \
                 JOIN run r ON r.id=o.run_id WHERE o.order_id=?";
    let params = (order.as_bytes().as_slice(),);
    let row = first(tx, "read purge orders", query, params).await?;
    row.map(|mut columns| run_id(&mut columns)).transpose()
}

async fn one_order(
    tx: &mut Transaction<'_>,
    order: Uuid,
) -> Result<Option<PurgeOrderRow>, CatalogueError> {
    let params = vec![order.as_bytes().as_slice().into()];
    Ok(orders(tx, "o.order_id=?", params).await?.pop())
}

async fn insert_order(
    tx: &mut Transaction<'_>,
    draft: &Draft,
    new: &NewPurgeOrder,
) -> Result<u64, CatalogueError> {
    let values: Vec<Value> = vec![
        new.order.as_bytes().as_slice().into(),
        draft.run.row.into(),
        new.buffer.as_str().into(),
        PurgeState::Proposed.as_str().into(),
        new.policy.as_str().into(),
        new.reason.as_str().into(),
        new.required.as_str().into(),
        new.evidence_max_age.as_secs().into(),
        new.who.as_str().into(),
    ];
    let query = "INSERT INTO purge_order (order_id,run_id,buffer,state,policy,reason,required,\
         evidence_max_age_secs,ordered_by) VALUES (?,?,?,?,?,?,?,?,?) RETURNING id";
    let row = first(tx, "order a purge", query, values).await;
    let row = row.map_err(|error| {
        if error.breaks("purge_order_buffer") {
            let elements = vec![new.buffer.clone()];
            return CatalogueError::UnknownElement { elements };
        }
        error
    })?;
    let mut columns = row.ok_or(CatalogueError::UnknownOrder { order: new.order })?;
    columns.next()
}

async fn insert_files(
    tx: &mut Transaction<'_>,
    draft: &Draft,
    order: u64,
    new: &NewPurgeOrder,
) -> Result<(), CatalogueError> {
    let at = draft.run.updated_at;
    let rows = new.files.iter().map(|found| {
        vec![
            order.into(),
            draft.file_row(&found.file).into(),
            found.element.as_str().into(),
            found.level.as_str().into(),
            found.method.as_str().into(),
            format!("crc64nvme:{} size:{}", found.crc64nvme, found.size).into(),
            opt_time(Some(at - found.age)),
        ]
    });
    let insert = Insert {
        table: "purge_order_file",
        columns: &[
            "purge_order_id",
            "file_id",
            "element",
            "evidence",
            "evidence_method",
            "evidence_value",
            "evidence_at",
        ],
        tail: "",
        rows: rows.collect(),
    };
    insert.run(tx).await?;
    Ok(())
}

async fn update_order(
    tx: &mut Transaction<'_>,
    order: &PurgeOrderRow,
) -> Result<(), CatalogueError> {
    let values: Vec<Value> = vec![
        order.state.as_str().into(),
        order.note.clone().into(),
        order.cancelled_because.clone().into(),
        order.restore_by.clone().into(),
        order.restore_reason.clone().into(),
        opt_time(order.checked_at),
        opt_time(order.trashed_at),
        opt_time(order.unlinking_at),
        opt_time(order.ended_at),
        order.row.into(),
    ];
    let query = "UPDATE purge_order SET state=?,note=?,cancelled_because=?,restore_by=?,\
         restore_reason=?,checked_at=?,trashed_at=?,unlinking_at=?,ended_at=? WHERE id=?";
    let failed = CatalogueError::server("advance a purge");
    tx.exec_drop(query, values).await.map_err(failed)
}

fn entity(order: Uuid) -> String {
    format!("purge order {order}")
}

fn ordered(draft: &Draft, new: &NewPurgeOrder) -> Result<Mail, CatalogueError> {
    let run = &draft.run;
    let files = new.files.iter().map(|found| {
        let row = draft.files.iter().find(|file| file.row.name == found.file);
        OrderedFile {
            name: found.file.clone(),
            size: row.and_then(|file| file.row.size).unwrap_or(found.size),
            crc64nvme: row
                .and_then(|file| file.row.crc64nvme.clone())
                .unwrap_or_default(),
            element: found.element.clone(),
            evidence: found.level,
            evidence_method: found.method.clone(),
            evidence_at: run.updated_at - found.age,
        }
    });
    let message = PurgeOrder {
        event_id: event_id(&entity(new.order), "purge-order", run.revision),
        order: new.order,
        site: run.id.site.clone(),
        run: run.id.number,
        version: run.id.version,
        revision: run.revision,
        buffer: new.buffer.clone(),
        files: files.collect(),
        required: new.required,
        policy: new.policy.clone(),
        reason: new.reason.clone(),
        ordered_at: run.updated_at,
        producer: new.who.clone(),
    };
    Mail::new(&message, run.trace.as_deref())
}

fn ended(
    draft: &Draft,
    order: &PurgeOrderRow,
    outcome: PurgeOutcome,
    who: &str,
) -> Result<Mail, CatalogueError> {
    let run = &draft.run;
    let bytes = match outcome {
        PurgeOutcome::Purged => order
            .files
            .iter()
            .map(|file| file.identity.map_or(file.size, |identity| identity.size))
            .sum(),
        _ => 0,
    };
    let message = Purged {
        event_id: event_id(&entity(order.order), outcome.as_str(), run.revision),
        order: order.order,
        site: run.id.site.clone(),
        run: run.id.number,
        version: run.id.version,
        revision: run.revision,
        buffer: order.buffer.clone(),
        outcome,
        files: order.files.iter().map(|file| file.name.clone()).collect(),
        bytes,
        reason: order.cancelled_because.clone().unwrap_or_default(),
        ended_at: run.updated_at,
        producer: who.to_owned(),
    };
    Mail::new(&message, run.trace.as_deref())
}
