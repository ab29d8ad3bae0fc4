//! A schema registry: who asks it for what, and what becomes of messages when it is away,
//! refuses, or is another server altogether.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aquifer_bus::{
    BusError, KafkaConfig, OutRecord, Producer, RegistryConfig, SCHEMAS_TOPIC, Schemas, read_all,
};
use aquifer_schemas::{CodecError, Decoder, Message, RunOpened, encode, event_id};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::world::{PATIENCE, World};

const SUBJECT: &str = "test.aquifer.daq.run-opened-value";

/// What the registry does with every request.
#[derive(Clone, Copy, Default)]
enum Mood {
    #[default]
    Well,
    Down,
    Refuses,
    AnotherServer,
}

#[derive(Default)]
struct Book {
    mood: Mood,
    /// The id is the place, from 1.
    schemas: Vec<String>,
    /// Method and path of each request.
    asked: Vec<String>,
    compatibility: Vec<Value>,
}

/// The part of Confluent's API that we use, in this process.
struct Registry {
    book: Arc<Mutex<Book>>,
    config: RegistryConfig,
    _serving: JoinSet<()>,
}

impl Registry {
    async fn start() -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = RegistryConfig {
            url: format!("http://{}/api/", listener.local_addr().unwrap()),
            user: "me".to_owned(),
            password: "hush".to_owned().into(),
            ..RegistryConfig::default()
        };
        let router = Router::new().fallback(answer).with_state(Arc::clone(&book));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            book,
            config,
            _serving: serving,
        }
    }

    fn is(&self, mood: Mood) {
        self.book.lock().unwrap().mood = mood;
    }

    fn asked(&self) -> Vec<String> {
        self.book.lock().unwrap().asked.clone()
    }

    /// The bus of `world`, with this registry.
    fn beside(&self, world: &World) -> KafkaConfig {
        KafkaConfig {
            schema_registry: self.config.clone(),
            ..world.config.clone()
        }
    }
}

async fn answer(
    State(book): State<Arc<Mutex<Book>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    assert_eq!(headers["authorization"], "Basic bWU6aHVzaA==");
    let mut book = book.lock().unwrap();
    book.asked.push(format!("{method} {}", uri.path()));
    let refused = |status: StatusCode, code| (status, json!({ "error_code": code }).to_string());
    match book.mood {
        Mood::Well => {}
        Mood::Down => return refused(StatusCode::SERVICE_UNAVAILABLE, 50_003),
        Mood::Refuses => return refused(StatusCode::CONFLICT, 409),
        Mood::AnotherServer => return (StatusCode::NOT_FOUND, "<html>".to_owned()),
    }
    let page: Value = serde_json::from_slice(&body).unwrap_or_default();
    let parts: Vec<_> = uri.path().split('/').skip(1).collect();
    let answer = match parts.as_slice() {
        ["api", "subjects", SUBJECT, "versions"] => {
            let schema = page["schema"].as_str().unwrap().to_owned();
            let place = book.schemas.iter().position(|known| *known == schema);
            let place = place.unwrap_or(book.schemas.len());
            if place == book.schemas.len() {
                book.schemas.push(schema);
            }
            json!({ "id": place + 1 })
        }
        ["api", "config", SUBJECT] => {
            book.compatibility.push(page.clone());
            page
        }
        ["api", "schemas", "ids", id] => match book.schemas.get(id.parse::<usize>().unwrap() - 1) {
            Some(schema) => json!({ "schema": schema }),
            None => return refused(StatusCode::NOT_FOUND, 40_403),
        },
        other => panic!("asked for {other:?}"),
    };
    (StatusCode::OK, answer.to_string())
}

fn opened(run: u64) -> RunOpened {
    RunOpened {
        event_id: event_id(&format!("LNGS/{run}"), "opened", 1),
        site: "LNGS".parse().unwrap(),
        run,
        version: 1,
        started_at: jiff::Timestamp::from_second(1_790_000_000).unwrap(),
        run_type: None,
        attributes: std::collections::BTreeMap::new(),
        producer: "test".to_owned(),
    }
}

/// An announcement as the outbox has it.
fn announcement(value: Vec<u8>) -> OutRecord {
    OutRecord {
        topic: RunOpened::TOPIC.to_owned(),
        key: Some(b"LNGS/1".to_vec()),
        value,
        ..OutRecord::default()
    }
}

async fn values(config: &KafkaConfig) -> Vec<Vec<u8>> {
    let records = read_all(config, RunOpened::TOPIC).await.unwrap();
    let values = records.into_iter().filter_map(|record| record.value);
    values.collect()
}

#[tokio::test]
async fn messages_are_framed_with_the_registrys_id_and_both_framings_are_read() {
    let world = World::with_topic(RunOpened::TOPIC, 1);
    let registry = Registry::start().await;
    let config = registry.beside(&world);
    let producer = Producer::connect(&config).unwrap();
    producer.publish(&opened(1), None).await.unwrap();
    producer.publish(&opened(2), None).await.unwrap();
    let single = announcement(encode(&opened(3)).unwrap());
    let receipt = producer.publish_encoded(&single).await.unwrap();
    receipt.await.unwrap();
    // What is carried for others is not touched.
    producer.publish_raw(&single).await.unwrap().await.unwrap();

    let posted = format!("POST /api/subjects/{SUBJECT}/versions");
    let set = format!("PUT /api/config/{SUBJECT}");
    assert_eq!(
        registry.asked(),
        [posted, set],
        "one schema, asked for once"
    );
    let compatibility = registry.book.lock().unwrap().compatibility.clone();
    assert_eq!(
        compatibility,
        [json!({ "compatibility": "FULL_TRANSITIVE" })]
    );

    let values = values(&config).await;
    let heads: Vec<_> = values.iter().map(|value| value[..5].to_vec()).collect();
    let framed = vec![0, 0, 0, 0, 1];
    assert_eq!(heads[..3], [framed.clone(), framed.clone(), framed]);
    assert_eq!(heads[3], single.value[..5]);
    let schemas = Schemas::new(&config).unwrap();
    for (value, run) in values.iter().zip([1, 2, 3, 3]) {
        let read: RunOpened = schemas.decode(value).await.unwrap();
        assert_eq!(read, opened(run));
    }
    let ids = registry.asked();
    assert_eq!(ids[2..], ["GET /api/schemas/ids/1"], "asked for once");
}

#[tokio::test]
async fn a_registry_that_is_away_is_waited_for_and_no_message_is_blamed() {
    let world = World::with_topic(RunOpened::TOPIC, 1);
    let registry = Registry::start().await;
    let config = registry.beside(&world);
    let producer = Producer::connect(&config).unwrap();
    for mood in [Mood::Down, Mood::AnotherServer] {
        registry.is(mood);
        let record = announcement(encode(&opened(1)).unwrap());
        let error = producer.publish_encoded(&record).await.err().unwrap();
        assert!(error.is_unavailable() && !error.is_permanent(), "{error}");
    }
    let tries = registry.asked().len();
    let (event, asked_again) = (opened(1), async {
        while registry.asked().len() < tries + 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        registry.is(Mood::Well);
    });
    let publishing = producer.publish(&event, None);
    let both = async { tokio::join!(publishing, asked_again) };
    let (published, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    published.unwrap();

    let value = values(&config).await.remove(0);
    let schemas = Schemas::new(&config).unwrap();
    for mood in [Mood::Down, Mood::AnotherServer] {
        registry.is(mood);
        let error = schemas.decode::<RunOpened>(&value).await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
    }
    registry.is(Mood::Well);
    let read: RunOpened = schemas.decode(&value).await.unwrap();
    assert_eq!(read, opened(1));
    // What is known needs no registry.
    registry.is(Mood::Down);
    schemas.decode::<RunOpened>(&value).await.unwrap();
    producer.publish(&opened(2), None).await.unwrap();
}

#[tokio::test]
async fn what_the_registry_says_for_good_is_believed() {
    let world = World::with_topic(RunOpened::TOPIC, 1);
    let registry = Registry::start().await;
    let config = registry.beside(&world);
    let framed = [&[0, 0, 0, 0, 9], &encode(&opened(1)).unwrap()[10..]].concat();
    let schemas = Schemas::new(&config).unwrap();
    for _ in 0..3 {
        let error = schemas.decode::<RunOpened>(&framed).await.unwrap_err();
        let unknown = matches!(error, BusError::Codec(CodecError::UnknownSchemaId(9)));
        assert!(unknown, "{error}");
    }
    assert_eq!(registry.asked().len(), 1, "not asked again at once");
    let nobody = Schemas::new(&world.config).unwrap();
    let error = nobody.decode::<RunOpened>(&framed).await.unwrap_err();
    assert!(matches!(error, BusError::Codec(_)), "{error}");

    registry.is(Mood::Refuses);
    let producer = Producer::connect(&config).unwrap();
    let refused = producer.publish(&opened(1), None).await.unwrap_err();
    assert!(refused.is_permanent(), "{refused}");
    assert!(refused.to_string().contains("409"), "{refused}");
    assert!(values(&config).await.is_empty());
}

#[tokio::test]
async fn a_message_of_another_version_is_framed_with_the_schema_of_its_writer() {
    let world = World::with_topic(RunOpened::TOPIC, 1);
    world.add_topic(SCHEMAS_TOPIC, 1);
    let registry = Registry::start().await;
    let config = registry.beside(&world);
    let json = RunOpened::schema().json.trim_end();
    let json = json.strip_suffix("]\n}").unwrap();
    let later = format!("{json},{{\"name\": \"later\", \"type\": \"long\", \"default\": 0}}]}}");
    let fingerprint = Decoder::new().learn(&later).unwrap();
    let mut bytes = encode(&opened(1)).unwrap();
    bytes[2..10].copy_from_slice(&fingerprint.to_le_bytes());
    bytes.push(0);
    let record = announcement(bytes);
    let send = async || {
        // A producer of its own: one remembers for a while what it did not find.
        let producer = Producer::connect(&config).unwrap();
        let receipt = producer.publish_encoded(&record).await.unwrap();
        receipt.await.unwrap();
    };
    send().await;
    assert_eq!(registry.asked(), [""; 0], "nobody knows its schema");
    let schema = OutRecord {
        topic: SCHEMAS_TOPIC.to_owned(),
        key: Some(format!("{fingerprint:016x}").into_bytes()),
        value: later.clone().into_bytes(),
        ..OutRecord::default()
    };
    let producer = Producer::connect(&config).unwrap();
    producer.publish_raw(&schema).await.unwrap().await.unwrap();
    send().await;
    assert_eq!(registry.book.lock().unwrap().schemas, [later]);
    let values = values(&config).await;
    assert_eq!(values[0], record.value, "as it was");
    assert_eq!(values[1], [&[0, 0, 0, 0, 1], &record.value[10..]].concat());
    let schemas = Schemas::new(&config).unwrap();
    for value in values {
        let read: RunOpened = schemas.decode(&value).await.unwrap();
        assert_eq!(read, opened(1));
    }
}
