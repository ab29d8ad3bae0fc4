//! Catalogues in databases of their own, furnished with a site, its buffer and an object
//! store.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use aquifer_catalogue::{Catalogue, CatalogueConfig, ElementKind};
use aquifer_stack::MariaDbEndpoint;
use mysql_async::{Conn, OptsBuilder};

use super::facts::lngs;
use crate::fixture::stack;

/// A database on the shared server that nobody else uses.
pub(crate) fn config() -> CatalogueConfig {
    config_on(&stack().mariadb)
}

/// A database on this server that nobody else uses.
pub(crate) fn config_on(server: &MariaDbEndpoint) -> CatalogueConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    CatalogueConfig {
        host: server.host.clone(),
        port: server.port,
        // The stack's user has all rights on names that begin so.
        database: format!("{}_test_{}_{number}", server.database, process::id()),
        user: server.user.clone(),
        password: server.password.clone().into(),
        ..CatalogueConfig::default()
    }
}

/// A furnished catalogue on the shared server.
pub(crate) async fn catalogue() -> Catalogue {
    furnished(&config()).await
}

/// A furnished catalogue in this database, which it makes.
pub(crate) async fn furnished(config: &CatalogueConfig) -> Catalogue {
    let catalogue = Catalogue::connect(config).await.unwrap();
    catalogue.migrate().await.unwrap();
    let site = lngs();
    let new = catalogue
        .register_site(&site, "Europe/Rome", "Gran Sasso")
        .await;
    assert!(new.unwrap());
    let buffer = ElementKind::Buffer;
    catalogue
        .register_element("BUFFER", buffer, Some(&site), "file:///data")
        .await
        .unwrap();
    catalogue
        .register_element("S3", ElementKind::S3, None, "https://s3")
        .await
        .unwrap();
    catalogue
}

/// A connection to the database behind the catalogue's back.
pub(crate) async fn raw(config: &CatalogueConfig) -> Conn {
    let options = OptsBuilder::default()
        .ip_or_hostname(&config.host)
        .tcp_port(config.port)
        .prefer_socket(false)
        .user(Some(&config.user))
        .pass(Some(config.password.reveal()))
        .db_name(Some(&config.database));
    Conn::new(options).await.unwrap()
}
