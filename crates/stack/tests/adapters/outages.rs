//! What the adapters promise while a server is away, killed, or not set up as others are.
//!
//! These tests have a stack of their own, which one of them at a time breaks.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use aquifer_bus::{Producer, read_all};
use aquifer_catalogue::{Catalogue, CatalogueConfig};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::{Message as _, RunOpened, RunState};
use aquifer_stack::{Halt, MariaDbEndpoint, Server};
use jiff::{SignedDuration, Timestamp};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use nix::unistd::{User, geteuid};
use tokio::sync::Notify;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::bus::{consumer, house_on, message, next, number_in};
use crate::catalogue::facts::{at, opened, run, stored};
use crate::catalogue::history::{check_history, detail, outbox};
use crate::catalogue::house::{config_on, furnished, raw};
use crate::fixture::{block_on, breakable};

const PATIENCE: Duration = Duration::from_mins(1);

/// A server that is away is an outage of the first query, not of `connect`.
#[test]
fn an_absent_server_is_an_outage() {
    let config = CatalogueConfig {
        // Discard: nothing listens there.
        port: 9,
        ..CatalogueConfig::default()
    };
    block_on(async {
        let catalogue = Catalogue::connect(&config).await.unwrap();
        let error = catalogue.run(&run(1)).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unavailable, "{error:?}");
    });
}

/// The server's administrator: whoever runs it, by its socket.
async fn administrator(server: &MariaDbEndpoint) -> Conn {
    let user = User::from_uid(geteuid()).unwrap().unwrap();
    let options = OptsBuilder::default()
        .socket(server.socket.to_str())
        .user(Some(user.name));
    Conn::new(options).await.unwrap()
}

/// Times are UTC whatever the server's zone, and the zone's odd hours do not matter.
#[test]
fn the_servers_time_zone_does_not_matter() {
    block_on(async {
        let stack = breakable().await;
        let server = &stack.endpoints().mariadb;
        let config = config_on(server);
        let catalogue = furnished(&config).await;
        let mut administrator = administrator(server).await;
        let zone = "SET GLOBAL time_zone='+05:30'";
        administrator.query_drop(zone).await.unwrap();

        let elsewhere = Catalogue::connect(&config).await.unwrap();
        let mut row = opened(&run(1));
        row.started_at = at("2026-03-29T01:30:00.25Z");
        let written = elsewhere.record_opened(&row).await.unwrap();
        let age = written.created_at.duration_until(Timestamp::now());
        assert!(age.abs() < SignedDuration::from_mins(5), "{age}");

        let zone = "SET GLOBAL time_zone='SYSTEM'";
        administrator.query_drop(zone).await.unwrap();
        let read = catalogue.run(&run(1)).await.unwrap().unwrap();
        assert_eq!(read, written);
        assert_eq!(read.started_at, Some(row.started_at));
        let select = "SELECT CAST(started_at AS CHAR) FROM run";
        let text: Option<String> = raw(&config).await.query_first(select).await.unwrap();
        assert_eq!(text.unwrap(), "2026-03-29 01:30:00.250000");
    });
}

/// Whatever was acknowledged before the server was killed is there after it.
#[test]
fn a_killed_server_loses_nothing_acknowledged() {
    block_on(async {
        let mut stack = breakable().await;
        let catalogue = furnished(&config_on(&stack.endpoints().mariadb)).await;
        let (acknowledge, mut acknowledged) = unbounded_channel();
        let mut writers = JoinSet::new();
        for writer in 0..4_u64 {
            let (catalogue, acknowledge) = (catalogue.clone(), acknowledge.clone());
            writers.spawn(async move {
                for round in 0..150 {
                    let id = run(writer * 1000 + round);
                    let facts = stored(&id, &["a"], &["a"]);
                    let deadline = Instant::now() + PATIENCE;
                    while let Err(error) = catalogue.record_stored(&facts).await {
                        assert_ne!(error.class(), ErrorClass::Permanent, "{error:?}");
                        assert!(Instant::now() < deadline, "{error:?}");
                        sleep(Duration::from_millis(50)).await;
                    }
                    acknowledge.send(id).unwrap();
                }
            });
        }
        drop(acknowledge);
        let mut ids = Vec::new();
        for _ in 0..100 {
            ids.push(acknowledged.recv().await.unwrap());
        }
        stack.restart(Server::MariaDb, Halt::Kill).await.unwrap();
        while let Some(id) = acknowledged.recv().await {
            ids.push(id);
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        assert_eq!(ids.len(), 600);

        // Per run: closed, file, run and two signals; nothing twice, nothing missing.
        let status = catalogue.outbox_status().await.unwrap();
        assert_eq!(status.rows, 600 * 5);
        let rows = outbox(&catalogue).await;
        let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &rows {
            *waiting.entry(&row.key).or_default() += 1;
        }
        assert!(waiting.len() > 100);
        for id in ids {
            let detail = detail(&catalogue, &id).await;
            assert_eq!(
                (detail.row.state, detail.row.revision),
                (RunState::Stored, 1)
            );
            check_history(&detail);
        }
    });
}

/// A broker that is killed while messages come and go: each is stored once, those of a
/// key in their order, and each is delivered.
#[test]
fn a_killed_broker_loses_nothing_and_keeps_the_order() {
    const MESSAGES: u64 = 3000;
    const KEYS: u64 = 20;
    const UNDER_WAY: usize = 200;
    block_on(async {
        let mut stack = breakable().await;
        let config = house_on(&stack.endpoints().kafka_bootstrap).await;
        let producer = Producer::connect(&config).unwrap();
        let mut consumer = consumer(&config, "group", RunOpened::TOPIC);
        let now = Notify::new();

        let publish = async {
            let mut under_way = VecDeque::new();
            for number in 0..MESSAGES {
                let message = message(number, number % KEYS);
                under_way.push_back(producer.publish_raw(&message).await.unwrap());
                if number == MESSAGES / 3 {
                    now.notify_one();
                }
                if under_way.len() > UNDER_WAY {
                    under_way.pop_front().unwrap().await.unwrap();
                }
            }
            for receipt in under_way {
                receipt.await.unwrap();
            }
        };
        let kill = async {
            now.notified().await;
            stack.restart(Server::Kafka, Halt::Kill).await.unwrap();
        };
        let consume = async {
            // A broker that lost a commit delivers again; none may be skipped.
            let mut expected: BTreeMap<u64, u64> = (0..KEYS).map(|key| (key, key)).collect();
            while expected.values().any(|number| *number < MESSAGES) {
                let delivery = next(&mut consumer).await;
                let number = number_in(&delivery.payload);
                let expected = expected.get_mut(&(number % KEYS)).unwrap();
                assert!(number <= *expected, "{number} came before {expected}");
                *expected = (*expected).max(number + KEYS);
                delivery.ack.done();
            }
        };
        tokio::join!(publish, kill, consume);
        consumer.close(PATIENCE).await.unwrap();

        let mut stored: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for record in read_all(&config, RunOpened::TOPIC).await.unwrap() {
            let number = number_in(&record.value.unwrap());
            stored.entry(number % KEYS).or_default().push(number);
        }
        for key in 0..KEYS {
            let all = (key..MESSAGES).step_by(KEYS as usize);
            assert!(stored[&key].iter().copied().eq(all), "{:?}", stored[&key]);
        }
    });
}
