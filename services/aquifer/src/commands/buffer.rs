//! `aquifer buffer`: orders to free a DAQ's disk, and the way back.
//!
//! An order is given only on evidence that this command takes itself, just before: each
//! copy that stays is read back, or asked for. The ingester of the buffer checks again
//! and does it; this command touches no file.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquifer_catalogue::{
    BY_HAND, Catalogue, CatalogueError, CopyEvidence, NewPurgeOrder, PurgeOrderFilter,
    PurgeOrderRow, RunDetail,
};
use aquifer_schemas::{EvidenceLevel, FileState, PurgeState, ReplicaState, RunId, RunState};
use aquifer_storage::{ObjectKey, S3Element, StorageElement};
use jiff::SignedDuration;
use uuid::Uuid;

use super::{open_catalogue, operator, run_id};
use crate::cli::{BufferCommand, EvidenceBy, OrdersArgs, PurgeOrderArgs, RestoreArgs};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// How often `restore` looks whether the files are back.
const LOOK: Duration = Duration::from_millis(200);

/// Gives an order, lists orders, or asks files back.
pub(super) async fn run(config: Config, command: BufferCommand) -> anyhow::Result<ExitCode> {
    match command {
        BufferCommand::PurgeOrder(args) => order(config, args).await,
        BufferCommand::Orders(args) => orders(config, args).await,
        BufferCommand::Restore(args) => restore(config, args).await,
    }
}

async fn order(config: Config, args: PurgeOrderArgs) -> anyhow::Result<ExitCode> {
    let age: SignedDuration = args
        .evidence_max_age
        .parse()
        .context("--evidence-max-age: write a duration such as `1h` or `30m`")?;
    let evidence_max_age = Duration::try_from(age).context("--evidence-max-age")?;
    let catalogue = open_catalogue(&config).await?;
    let storage = S3Element::new(config.storage.clone())?;
    for text in &args.runs {
        let id = run_id(&config, text)?;
        let detail = catalogue.run_detail(&id).await?;
        let detail = detail.ok_or_else(|| CatalogueError::UnknownRun { run: id.clone() })?;
        let buffer = buffer_of(&detail)?;
        let looked = look_at_copies(&detail, &storage, args.evidence).await?;
        let required = args.evidence.required();
        let new = NewPurgeOrder {
            order: Uuid::now_v7(),
            run: id,
            buffer,
            policy: BY_HAND.to_owned(),
            reason: args.reason.clone(),
            required,
            evidence_max_age,
            files: looked.into_iter().map(Looked::aged).collect(),
            who: operator(),
        };
        let row = catalogue.order_purge(&new).await?;
        let bytes = row.files.iter().map(|file| file.size).sum();
        output::line(format!(
            "order {}: run {}, {} files, {} of {}, on evidence {required}",
            row.order,
            row.run,
            row.files.len(),
            output::size(bytes),
            row.buffer,
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The one buffer that holds files of the run.
fn buffer_of(detail: &RunDetail) -> anyhow::Result<String> {
    let run = &detail.row;
    if !matches!(run.state, RunState::Stored | RunState::Safe) {
        let why = format!("it is {}, not stored or safe", run.state);
        return Err(refused(&run.id, why).into());
    }
    let buffers: BTreeSet<_> = orderable(detail)
        .filter_map(|file| file.buffer.as_ref())
        .collect();
    match Vec::from_iter(buffers).as_slice() {
        [buffer] => Ok((*buffer).clone()),
        [] => {
            let why = "no file of it lies in a buffer without an order".to_owned();
            Err(refused(&run.id, why).into())
        }
        several => Err(refused(&run.id, format!("its files lie in {several:?}")).into()),
    }
}

fn refused(run: &RunId, why: String) -> CatalogueError {
    let run = run.clone();
    CatalogueError::NotPurgeable { run, why }
}

/// Files that no order is about yet.
fn orderable(detail: &RunDetail) -> impl Iterator<Item = &aquifer_catalogue::FileRow> {
    let files = detail.files.iter();
    files.filter(|file| matches!(file.state, FileState::Stored | FileState::Safe))
}

/// Evidence, and when the look at the copy began.
struct Looked {
    evidence: CopyEvidence,
    began: Instant,
}

impl Looked {
    fn aged(mut self) -> CopyEvidence {
        self.evidence.age = self.began.elapsed();
        self.evidence
    }
}

/// Fresh evidence of the copy in object storage of each file.
async fn look_at_copies(
    detail: &RunDetail,
    storage: &S3Element,
    by: EvidenceBy,
) -> anyhow::Result<Vec<Looked>> {
    let mut looked = Vec::new();
    for file in orderable(detail) {
        let mut copies = detail.replicas.iter();
        let copy = copies.find(|copy| {
            let here = copy.file == file.name && copy.element == storage.name();
            here && copy.state == ReplicaState::Available
        });
        let none = || {
            let why = format!("{} has no copy at {}", file.name, storage.name());
            refused(&detail.row.id, why)
        };
        let copy = copy.ok_or_else(none)?;
        let key: ObjectKey = copy.location.parse()?;
        let began = Instant::now();
        let (level, method, size, crc64nvme) = match by {
            EvidenceBy::ReadBack => {
                let digests = storage.read_back(&key).await?;
                let crc64nvme = Some(digests.crc64nvme);
                (EvidenceLevel::E4, "read-back", digests.size, crc64nvme)
            }
            EvidenceBy::Head => {
                let info = storage.head(&key).await?.ok_or_else(none)?;
                // What reports no checksum proves its size at most.
                let level = match info.crc64nvme {
                    Some(_) => EvidenceLevel::E3,
                    None => EvidenceLevel::E1,
                };
                (level, "head-object", info.size, info.crc64nvme)
            }
        };
        looked.push(Looked {
            began,
            evidence: CopyEvidence {
                file: file.name.clone(),
                element: copy.element.clone(),
                level,
                method: method.to_owned(),
                size,
                crc64nvme: crc64nvme.map(|sum| sum.to_string()).unwrap_or_default(),
                age: Duration::ZERO,
            },
        });
    }
    Ok(looked)
}

async fn orders(config: Config, args: OrdersArgs) -> anyhow::Result<ExitCode> {
    let run = args.run.map(|text| run_id(&config, &text)).transpose()?;
    let states = args.state.map(|state| state.parse()).transpose()?;
    let filter = PurgeOrderFilter {
        run,
        states: states.into_iter().collect(),
        limit: args.limit,
    };
    let catalogue = open_catalogue(&config).await?;
    let orders = catalogue.purge_orders(&filter).await?;
    if args.json {
        output::json(&orders)?;
    } else {
        let titles = [
            "ORDER",
            "RUN",
            "STATE",
            "FILES",
            "SIZE",
            "BUFFER",
            "GIVEN",
            "BY",
            "WHY OR WAITS FOR",
        ];
        output::table(&titles, orders.iter().map(columns))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn columns(order: &PurgeOrderRow) -> Vec<String> {
    let bytes = order.files.iter().map(|file| file.size).sum();
    let asked = order
        .restore_by
        .as_ref()
        .filter(|_| order.is_live())
        .map(|by| format!("asked back by {by}"));
    let why = order.cancelled_because.clone().or(asked);
    vec![
        order.order.to_string(),
        order.run.to_string(),
        order.state.to_string(),
        order.files.len().to_string(),
        output::size(bytes),
        order.buffer.clone(),
        output::time(order.proposed_at),
        order.ordered_by.clone(),
        why.or_else(|| order.note.clone())
            .unwrap_or_else(|| order.reason.clone()),
    ]
}

async fn restore(config: Config, args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let order: Uuid = args.order.parse().map_err(|error| {
        let what = format!("`{}` is not the id of an order: {error}", args.order);
        Hinted::new(what, "`aquifer buffer orders` lists them")
    })?;
    let catalogue = open_catalogue(&config).await?;
    let asked = catalogue
        .ask_restore(order, &operator(), &args.reason)
        .await?;
    let row = back(&catalogue, asked, Duration::from_secs(args.wait_secs)).await?;
    if row.is_live() {
        let what = format!("order {order} is {}: its files are not back yet", row.state);
        let hint = format!(
            "they were asked back; is the ingester of {} running?",
            row.buffer
        );
        return Err(Hinted::new(what, hint).into());
    }
    let why = row.cancelled_because.as_deref().unwrap_or_default();
    output::line(format!("order {order} is {}: {why}", row.state))?;
    Ok(if row.state == PurgeState::Cancelled {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Waits until an order is over, for `patience`.
async fn back(
    catalogue: &Catalogue,
    mut row: PurgeOrderRow,
    patience: Duration,
) -> Result<PurgeOrderRow, CatalogueError> {
    let until = Instant::now() + patience;
    while row.is_live() && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        row = catalogue.purge_order(row.order).await?.unwrap_or(row);
    }
    Ok(row)
}
