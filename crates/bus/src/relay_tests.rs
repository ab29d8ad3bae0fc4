//! The relay against an outbox and brokers in memory, through crashes at any step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use proptest::prelude::*;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing_subscriber::layer::SubscriberExt as _;
use uuid::Uuid;

use super::*;

/// An outbox table, the lease beside it, and the log of the brokers.
#[derive(Default)]
struct World {
    rows: Mutex<BTreeMap<u64, Announcement>>,
    log: Mutex<Vec<(String, u64)>>,
    /// The context that each message carried.
    contexts: Mutex<Vec<Option<String>>>,
    fence: AtomicU64,
    holder: Mutex<String>,
    /// Operations until the process dies; every outbox and broker call counts.
    fuse: Mutex<Option<usize>>,
    refuse: Mutex<Option<u64>>,
    usurper: Mutex<Usurper>,
    /// How long the brokers take to acknowledge.
    delay: Mutex<Duration>,
}

/// Another process that wants the lease.
#[derive(Default, PartialEq)]
enum Usurper {
    #[default]
    None,
    /// Takes it just before the next deletion.
    Waits,
    Holds,
}

impl World {
    fn with(count: u64, keys: u64) -> Self {
        let world = Self::default();
        for id in 1..=count {
            let record = Announcement {
                id,
                topic: "runs".to_owned(),
                key: (id % keys).to_string(),
                value: id.to_be_bytes().to_vec(),
                event_id: Uuid::from_u128(u128::from(id)),
                traceparent: None,
                created_at: Timestamp::UNIX_EPOCH,
            };
            world.rows.lock().unwrap().insert(id, record);
        }
        world
    }

    /// One operation: never returns once the fuse has burnt.
    async fn tick(&self) {
        let burnt = {
            let mut fuse = self.fuse.lock().unwrap();
            match fuse.as_mut() {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            }
        };
        if burnt {
            std::future::pending::<()>().await;
        }
    }

    fn published(&self) -> Vec<(String, u64)> {
        self.log.lock().unwrap().clone()
    }

    fn waiting(&self) -> usize {
        self.rows.lock().unwrap().len()
    }
}

impl Outbox for World {
    async fn lease(&self, holder: &str, _: Duration) -> Result<Option<Lease>, OutboxError> {
        self.tick().await;
        if *self.usurper.lock().unwrap() == Usurper::Holds {
            return Ok(None);
        }
        let mut current = self.holder.lock().unwrap();
        if *current != holder {
            holder.clone_into(&mut current);
            self.fence.fetch_add(1, Ordering::Relaxed);
        }
        let fence = self.fence.load(Ordering::Relaxed);
        Ok(Some(Lease { fence }))
    }

    async fn batch(&self, limit: usize) -> Result<Vec<Announcement>, OutboxError> {
        self.tick().await;
        Ok(self
            .rows
            .lock()
            .unwrap()
            .values()
            .take(limit)
            .cloned()
            .collect())
    }

    async fn delete(&self, fence: u64, ids: &[u64]) -> Result<(), OutboxError> {
        self.tick().await;
        if *self.usurper.lock().unwrap() == Usurper::Waits {
            *self.usurper.lock().unwrap() = Usurper::Holds;
            self.fence.fetch_add(1, Ordering::Relaxed);
        }
        if fence != self.fence.load(Ordering::Relaxed) {
            return Err(OutboxError::Fenced { fence });
        }
        let log = self.published();
        let mut rows = self.rows.lock().unwrap();
        for id in ids {
            assert!(
                log.iter().any(|(_, logged)| logged == id),
                "{id} deleted, not published"
            );
            rows.remove(id);
        }
        Ok(())
    }
}

impl Publisher for World {
    type Receipt = Pin<Box<dyn Future<Output = Result<(), BusError>> + Send>>;

    async fn queue(&self, record: &OutRecord) -> Result<Self::Receipt, BusError> {
        self.tick().await;
        let id = u64::from_be_bytes(record.value.as_slice().try_into().unwrap());
        if *self.refuse.lock().unwrap() == Some(id) {
            let reason = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            return Err(BusError::kafka("publish", reason));
        }
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        self.log.lock().unwrap().push((key, id));
        let context = record.traceparent.clone();
        self.contexts.lock().unwrap().push(context);
        // The acknowledgement may be lost with the process, too.
        let lost = matches!(*self.fuse.lock().unwrap(), Some(0));
        let delay = *self.delay.lock().unwrap();
        Ok(Box::pin(async move {
            tokio::time::sleep(delay).await;
            if lost {
                std::future::pending::<()>().await;
            }
            Ok(())
        }))
    }
}

fn options(holder: &str, batch: usize) -> RelayOptions {
    RelayOptions {
        holder: holder.to_owned(),
        batch,
        ..RelayOptions::default()
    }
}

/// Runs a relay until the outbox is empty or `limit` (of paused time) is over.
async fn run_until_empty(world: &World, options: RelayOptions, limit: Duration) {
    let shutdown = CancellationToken::new();
    let watch = async {
        while world.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let relay = Relay::run(world, world, options, shutdown.clone());
    tokio::select! {
        () = relay => {}
        _ = tokio::time::timeout(limit, watch) => {}
    }
}

fn paused() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

/// First appearances of each key's announcements are in order.
fn in_order(log: &[(String, u64)]) -> bool {
    let mut seen = BTreeMap::<&str, u64>::new();
    log.iter().all(|(key, id)| {
        let last = seen.entry(key).or_default();
        let gap = (*last + 1..*id).any(|before| {
            log.iter()
                .any(|(other, logged)| other == key && *logged == before)
        });
        *last = (*last).max(*id);
        !gap
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_crash_loses_an_announcement(
        count in 0..40u64,
        keys in 1..5u64,
        batch in 1..16usize,
        crashes in prop::collection::vec(0..60usize, 0..6),
    ) {
        let world = World::with(count, keys);
        paused().block_on(async {
            for (life, fuse) in crashes.iter().enumerate() {
                *world.fuse.lock().unwrap() = Some(*fuse);
                let holder = format!("relay {}", life % 2);
                run_until_empty(&world, options(&holder, batch), Duration::from_millis(200)).await;
            }
            *world.fuse.lock().unwrap() = None;
            run_until_empty(&world, options("last", batch), Duration::from_mins(10)).await;
        });
        prop_assert_eq!(world.waiting(), 0);
        let log = world.published();
        for id in 1..=count {
            prop_assert!(log.iter().any(|(_, logged)| *logged == id), "{} is lost", id);
        }
        prop_assert!(in_order(&log), "{:?}", log);
        if crashes.is_empty() {
            prop_assert_eq!(log.len() as u64, count, "nothing is published twice without need");
        }
    }
}

#[test]
fn an_announcement_that_is_refused_stays_and_holds_nobody_up() {
    let world = World::with(20, 3);
    *world.refuse.lock().unwrap() = Some(5);
    paused().block_on(run_until_empty(
        &world,
        options("one", 4),
        Duration::from_mins(1),
    ));
    assert_eq!(world.waiting(), 1);
    assert!(world.rows.lock().unwrap().contains_key(&5));
    *world.refuse.lock().unwrap() = None;
    paused().block_on(run_until_empty(
        &world,
        options("one", 4),
        Duration::from_mins(1),
    ));
    assert_eq!(world.waiting(), 0);
}

#[test]
fn a_relay_that_lost_its_lease_deletes_nothing_and_publishes_no_more() {
    let world = World::with(10, 1);
    *world.usurper.lock().unwrap() = Usurper::Waits;
    paused().block_on(run_until_empty(
        &world,
        options("old", 3),
        Duration::from_mins(1),
    ));
    assert_eq!(world.waiting(), 10);
    assert_eq!(world.published().len(), 3, "the batch before the loss");
    *world.usurper.lock().unwrap() = Usurper::None;
    paused().block_on(run_until_empty(
        &world,
        options("new", 3),
        Duration::from_mins(1),
    ));
    assert_eq!(world.waiting(), 0);
}

#[test]
fn brokers_that_are_away_for_long_get_each_announcement_once() {
    let world = World::with(10, 2);
    *world.delay.lock().unwrap() = Duration::from_mins(5);
    paused().block_on(run_until_empty(
        &world,
        options("one", 4),
        Duration::from_hours(1),
    ));
    assert_eq!(world.waiting(), 0);
    assert_eq!(world.published().len(), 10);
}

/// Keeps the spans that ended.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Relays one announcement of each of these contexts; gives the contexts on the wire.
fn relayed(contexts: &[Option<&str>]) -> Vec<Option<String>> {
    let world = World::with(contexts.len() as u64, 1);
    for (row, context) in world.rows.lock().unwrap().values_mut().zip(contexts) {
        row.traceparent = context.map(str::to_owned);
    }
    let limit = Duration::from_mins(1);
    paused().block_on(run_until_empty(&world, options("one", 16), limit));
    assert_eq!(world.waiting(), 0);
    world.contexts.into_inner().unwrap()
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn an_announcement_continues_the_trace_of_its_fact() {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(kept.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let recording = tracing_subscriber::registry().with(layer);
    // Whether a span is recorded is decided when it is first met, perhaps by another test
    // in a thread that records nothing: it is met here, and decided again below.
    relayed(&[None]);
    let contexts = tracing::subscriber::with_default(recording, || {
        tracing::callsite::rebuild_interest_cache();
        relayed(&[Some(PARENT), Some("no context"), None])
    });

    let spans = kept.0.lock().unwrap();
    assert_eq!(spans.len(), 3);
    for (number, context) in contexts.iter().enumerate() {
        // What the message carries is the context of a span that was recorded for it.
        let context = context.as_deref().unwrap();
        let own = |span: &&SpanData| context.contains(&span.span_context.span_id().to_string());
        let span = spans.iter().find(own).unwrap();
        assert_eq!(span.name, "announce");
        let parent = span.parent_span_id.to_string();
        if number == 0 {
            assert_eq!((&context[..36], &*parent), (&PARENT[..36], &PARENT[36..52]));
            assert_ne!(context, PARENT);
        } else {
            assert_eq!(parent, "0".repeat(16), "a trace of its own");
        }
    }
}

#[test]
fn a_context_passes_through_where_nothing_is_recorded() {
    let contexts = relayed(&[Some(PARENT), Some("no context"), None]);
    assert_eq!(contexts, [Some(PARENT.to_owned()), None, None]);
}
