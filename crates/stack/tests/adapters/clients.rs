//! The shortest way to leave a mark in each server and to find it again.

use std::time::Duration;

use aquifer_stack::{Endpoints, Server};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use mysql_async::prelude::Queryable;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);

/// Stores `word` under `name` in a server.
pub(crate) async fn store(endpoints: &Endpoints, server: Server, name: &str, word: &str) {
    match server {
        Server::Kafka => {
            let config = kafka(endpoints);
            let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
            let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
            let made = admin.create_topics(&[topic], &AdminOptions::new()).await;
            made.unwrap().remove(0).unwrap();
            let producer: FutureProducer = config.create().unwrap();
            let record = FutureRecord::<(), _>::to(name).payload(word);
            producer.send(record, PATIENCE).await.unwrap();
        }
        Server::MariaDb => {
            let mut connection = mariadb(endpoints).await;
            let create = format!("CREATE TABLE {name} (word VARCHAR(100)) ENGINE=InnoDB");
            connection.query_drop(create).await.unwrap();
            let insert = format!("INSERT INTO {name} VALUES (?)");
            connection.exec_drop(insert, (word,)).await.unwrap();
        }
        Server::SeaweedFs => {
            let put = s3(endpoints)
                .put_object()
                .bucket(&endpoints.s3.bucket)
                .key(name)
                .body(word.as_bytes().to_vec().into());
            put.send().await.unwrap();
        }
    }
}

/// What was stored under `name` in a server.
pub(crate) async fn find(endpoints: &Endpoints, server: Server, name: &str) -> String {
    match server {
        Server::Kafka => {
            let consumer: BaseConsumer = kafka(endpoints).create().unwrap();
            let mut partition = TopicPartitionList::new();
            partition
                .add_partition_offset(name, 0, Offset::Beginning)
                .unwrap();
            consumer.assign(&partition).unwrap();
            let message = consumer.poll(PATIENCE).unwrap().unwrap();
            String::from_utf8(message.payload().unwrap().to_vec()).unwrap()
        }
        Server::MariaDb => {
            let mut connection = mariadb(endpoints).await;
            let select = format!("SELECT word FROM {name}");
            connection.query_first(select).await.unwrap().unwrap()
        }
        Server::SeaweedFs => {
            let get = s3(endpoints)
                .get_object()
                .bucket(&endpoints.s3.bucket)
                .key(name);
            let body = get.send().await.unwrap().body.collect().await.unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        }
    }
}

fn kafka(endpoints: &Endpoints) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &endpoints.kafka_bootstrap)
        .set("group.id", "nobody");
    config
}

/// A connection by TCP.
pub(crate) async fn mariadb(endpoints: &Endpoints) -> mysql_async::Conn {
    mysql_async::Conn::from_url(endpoints.mariadb.url() + "?prefer_socket=false")
        .await
        .unwrap()
}

fn s3(endpoints: &Endpoints) -> aws_sdk_s3::Client {
    let s3 = &endpoints.s3;
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(s3.region.clone()))
        .endpoint_url(&s3.endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(
            &s3.access_key,
            &s3.secret_key,
            None,
            None,
            "stack",
        ))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
