//! The schema is made once, and only by the version that knows it.

use aquifer_catalogue::{Catalogue, CatalogueError, SCHEMA_VERSION};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use mysql_async::prelude::Queryable;
use tokio::task::JoinSet;

use super::house::{config, raw};
use crate::fixture::block_on;

/// Migrations run once however often and by however many they are started.
#[test]
fn migrations_run_once() {
    block_on(async {
        let config = config();
        let catalogue = Catalogue::connect(&config).await.unwrap();
        let error = catalogue.require_current_schema().await.unwrap_err();
        assert!(
            matches!(error, CatalogueError::SchemaTooOld { have: 0, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("hint: run `aquifer migrate`"));
        assert_eq!(error.class(), ErrorClass::Unavailable);

        let mut many = JoinSet::new();
        for _ in 0..4 {
            let catalogue = catalogue.clone();
            many.spawn(async move { catalogue.migrate().await.unwrap() });
        }
        let mut reports = Vec::new();
        while let Some(report) = many.join_next().await {
            reports.push(report.unwrap());
        }
        let working = reports.iter().filter(|report| !report.applied.is_empty());
        assert_eq!(working.count(), 1);
        let prepared = reports.iter().filter(|report| report.months.len() == 13);
        assert_eq!(prepared.count(), 1);
        assert!(reports.iter().all(|report| report.to == SCHEMA_VERSION));
        catalogue.require_current_schema().await.unwrap();

        // A migration that was interrupted after its statement is run again.
        let mut raw = raw(&config).await;
        let last = format!("DELETE FROM schema_version WHERE version={SCHEMA_VERSION}");
        raw.query_drop(last).await.unwrap();
        let error = catalogue.require_current_schema().await.unwrap_err();
        assert!(
            matches!(error, CatalogueError::SchemaTooOld { .. }),
            "{error}"
        );
        assert_eq!(catalogue.migrate().await.unwrap().applied.len(), 1);

        // Rows that fell into the catch-all are moved to their months.
        raw.query_drop(
            "INSERT INTO transition (at,run_id,entity,entity_id,to_state,who,why,revision) \
         VALUES ('2099-01-01',1,'run',1,'open','x','y',1)",
        )
        .await
        .unwrap();
        catalogue.migrate().await.unwrap();
        let kept: Option<u64> = raw
            .query_first("SELECT COUNT(*) FROM transition")
            .await
            .unwrap();
        assert_eq!(kept, Some(1));
    });
}

/// A schema of another program version is left alone.
#[test]
fn unknown_schemas_are_refused() {
    block_on(async {
        let config = config();
        let catalogue = Catalogue::connect(&config).await.unwrap();
        catalogue.migrate().await.unwrap();
        let mut raw = raw(&config).await;
        let newer = SCHEMA_VERSION + 1;
        raw.query_drop(format!(
            "INSERT INTO schema_version (version,name,checksum) VALUES ({newer},'x','x')"
        ))
        .await
        .unwrap();
        for error in [
            catalogue.require_current_schema().await.unwrap_err(),
            catalogue.migrate().await.unwrap_err(),
        ] {
            assert!(
                matches!(error, CatalogueError::SchemaTooNew { .. }),
                "{error}"
            );
        }
        raw.query_drop(format!("DELETE FROM schema_version WHERE version={newer}"))
            .await
            .unwrap();
        raw.query_drop("UPDATE schema_version SET checksum='x' WHERE version=3")
            .await
            .unwrap();
        let error = catalogue.migrate().await.unwrap_err();
        assert!(
            matches!(error, CatalogueError::SchemaDiverged { version: 3, .. }),
            "{error}"
        );
    });
}
