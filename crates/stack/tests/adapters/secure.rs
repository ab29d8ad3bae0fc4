//! Servers that speak TLS: who proves itself is spoken to, who does not is not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aquifer_bus::{KafkaConfig, Producer};
use aquifer_catalogue::{Catalogue, CatalogueConfig, Tls};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_stack::SecureEndpoint;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use crate::catalogue::house;
use crate::fixture::{block_on, folder, secure_stack, stack};

/// How long a broker that refuses may be asked.
const PATIENCE: Duration = Duration::from_secs(5);

fn secure() -> &'static SecureEndpoint {
    secure_stack().secure.as_ref().unwrap()
}

/// The certificate of an authority that signed for nobody.
fn stranger(folder: &Path) -> PathBuf {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let path = folder.join("stranger.pem");
    std::fs::write(&path, certificate.pem()).unwrap();
    path
}

fn kafka(ca_file: &Path, changes: &[(&str, &str)]) -> KafkaConfig {
    let server = secure();
    let ca_file = ca_file.to_str().unwrap();
    let mut properties = vec![
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", ca_file),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", &server.kafka_user),
        ("sasl.password", &server.kafka_password),
    ];
    properties.extend(changes);
    let properties = properties.into_iter();
    KafkaConfig {
        bootstrap_servers: server.kafka_bootstrap.clone(),
        properties: properties
            .map(|(name, value)| (name.to_owned(), value.to_owned().into()))
            .collect(),
        ..KafkaConfig::default()
    }
}

/// The brokers are spoken to only over TLS, by those who know the password, and only if
/// they prove who they are. None of it is an error of a message.
#[test]
fn kafka_takes_and_shows_credentials() {
    block_on(async {
        let folder = folder();
        let stranger = stranger(folder.path());
        let ask = async |config: &KafkaConfig| {
            let producer = Producer::connect(config).unwrap();
            producer.ask(PATIENCE).await
        };
        let right = secure().ca_file.as_path();
        ask(&kafka(right, &[])).await.unwrap();
        for wrong in [
            kafka(&stranger, &[]),
            kafka(right, &[("sasl.password", "guessed")]),
            kafka(right, &[("security.protocol", "SSL")]),
            kafka(right, &[("security.protocol", "PLAINTEXT")]),
        ] {
            let error = ask(&wrong).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
        }
    });
}

/// The database gets no password before it has proved who it is, and takes nobody who
/// speaks in the clear.
#[test]
fn mariadb_takes_and_shows_credentials() {
    block_on(async {
        let folder = folder();
        let stranger = stranger(folder.path());
        let config = |tls, ca_file: Option<&Path>| CatalogueConfig {
            tls,
            ca_file: ca_file.map(Path::to_owned),
            ..house::config_on(&secure_stack().mariadb)
        };
        let right = secure().ca_file.as_path();
        let trusting = config(Tls::Required, Some(right));
        let catalogue = Catalogue::connect(&trusting).await.unwrap();
        catalogue.migrate().await.unwrap();
        assert_eq!(catalogue.sites().await.unwrap().len(), 0);

        let plain_server = CatalogueConfig {
            tls: Tls::Required,
            ca_file: Some(right.to_owned()),
            ..house::config_on(&stack().mariadb)
        };
        for (wrong, why) in [
            (config(Tls::Off, None), "denied"),
            (config(Tls::Required, Some(&stranger)), "certificate"),
            // An authority that browsers know is none that we named.
            (config(Tls::Required, None), "certificate"),
            (plain_server, "SSL"),
        ] {
            let catalogue = Catalogue::connect(&wrong).await.unwrap();
            let error = catalogue.sites().await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    });
}
