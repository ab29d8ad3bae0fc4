//! Names and numbers are kept exactly, or refused.

use std::collections::BTreeMap;

use aquifer_catalogue::{Attribute, CatalogueError, ElementKind, Product, RunFilter};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::{RunId, Site};

use super::facts::{lngs, opened, run, stored};
use super::history::detail;
use super::house::catalogue;
use crate::fixture::block_on;

/// Names that are not registered are errors of the caller, and nothing is written.
#[test]
fn unregistered_names_are_refused() {
    block_on(async {
        let catalogue = catalogue().await;
        let lnf: Site = "LNF".parse().unwrap();
        let elsewhere = RunId::first(lnf.clone(), 1);
        let error = catalogue
            .record_opened(&opened(&elsewhere))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, CatalogueError::UnknownSite { site } if *site == lnf),
            "{error}"
        );
        assert_eq!(error.class(), ErrorClass::Permanent);

        let mut other_element = stored(&run(1), &["a"], &["a"]);
        "NOWHERE".clone_into(&mut other_element.files[0].element);
        let error = catalogue.record_stored(&other_element).await.unwrap_err();
        assert!(
            matches!(error, CatalogueError::UnknownElement { .. }),
            "{error}"
        );
        assert_eq!(catalogue.run(&run(1)).await.unwrap(), None);
        assert_eq!(catalogue.outbox_status().await.unwrap().rows, 0);

        let error = catalogue
            .register_element("X", ElementKind::S3, Some(&lnf), "x")
            .await
            .unwrap_err();
        assert!(
            matches!(error, CatalogueError::UnknownSite { .. }),
            "{error}"
        );
        let error = catalogue
            .register_element("S3", ElementKind::Tape, None, "x")
            .await
            .unwrap_err();
        assert!(
            matches!(error, CatalogueError::Registered { .. }),
            "{error}"
        );
        let same = catalogue
            .register_element("S3", ElementKind::S3, None, "https://new")
            .await;
        assert!(!same.unwrap());
        assert!(
            !catalogue
                .register_site(&lngs(), "Europe/Rome", "x")
                .await
                .unwrap()
        );
        assert_eq!(catalogue.sites().await.unwrap().len(), 1);
        let urls: Vec<_> = catalogue.elements().await.unwrap();
        assert_eq!(urls[1].url, "https://new");
    });
}

/// Names that look alike are different, numbers beyond 32 bits survive.
#[test]
fn names_and_numbers_are_exact() {
    block_on(async {
        let catalogue = catalogue().await;
        let id = run(u64::from(u32::MAX) * 3);
        let alike = [
            "a",
            "a ",
            "A",
            "ä",
            "a\u{308}",
            "名前",
            "🦀",
            "a'; DROP TABLE run; --",
        ];
        let mut big = stored(&id, &alike, &alike);
        for facts in &mut big.files {
            facts.size = 1 << 40;
        }
        big.files[0].size = u64::from(u32::MAX) * 5;
        let outcome = catalogue.record_stored(&big).await.unwrap();
        assert_eq!(outcome.row.bytes, (7 << 40) + u64::from(u32::MAX) * 5);
        let detail = detail(&catalogue, &id).await;
        let names: Vec<_> = detail.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, alike);
        assert_eq!(detail.files[0].identity, Some(big.files[0].identity));
        let last = run(u64::MAX);
        catalogue.record_opened(&opened(&last)).await.unwrap();
        let filter = RunFilter {
            from_number: Some(u64::MAX),
            ..RunFilter::default()
        };
        let found = catalogue.runs(&filter).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, last);
    });
}

/// What the DAQ says is kept whole however long it is, and never keeps a run out.
#[test]
fn metadata_of_any_length_never_block_a_run() {
    block_on(async {
        let catalogue = catalogue().await;
        let id = run(1);
        let run_type = "è🦀".repeat(100);
        let (long, alike) = ("n".repeat(300), "n".repeat(301));
        let unit = "V".repeat(65);
        let mut told = stored(&id, &["a"], &["a"]);
        told.closed.run_type = Some(run_type.clone());
        told.closed.trace = Some("t".repeat(200));
        told.closed.attributes = BTreeMap::from([
            (long.clone(), Attribute::number(1.0).with_unit(&unit)),
            (alike.clone(), Attribute::text("x".repeat(100_000))),
        ]);
        let outcome = catalogue.record_stored(&told).await.unwrap();
        let written = detail(&catalogue, &id).await;
        assert_eq!(written.row, outcome.row);
        assert_eq!(written.row.run_type.as_deref(), Some(&*"è🦀".repeat(64)));
        assert_eq!(written.row.trace, None);
        let attributes = &written.attributes;
        assert_eq!(attributes["run_type.full"], Attribute::text(run_type));
        let kept = |text: &str| {
            attributes
                .values()
                .any(|kept| *kept == Attribute::text(text))
        };
        assert!(kept(&long) && kept(&alike) && kept(&unit), "{attributes:?}");
        assert!(kept(&"x".repeat(100_000)));
        assert_eq!(attributes.len(), 6);
        let again = catalogue.record_stored(&told).await.unwrap();
        assert_eq!(again.row.revision, 1, "the same again changes nothing");
        assert_eq!(detail(&catalogue, &id).await, written);
    });
}

/// A product has one name and one content.
#[test]
fn products_are_never_replaced() {
    block_on(async {
        let catalogue = catalogue().await;
        let id = run(1);
        let product = Product {
            level: "reco".to_owned(),
            pass: "online".to_owned(),
            version: 1,
            element: "S3".to_owned(),
            bucket: Some("reco".to_owned()),
            location: "LNGS/1.parquet".to_owned(),
            size: 1 << 33,
            crc64nvme: "0123456789abcdef".to_owned(),
        };
        let error = catalogue.record_product(&id, &product).await.unwrap_err();
        assert!(
            matches!(error, CatalogueError::UnknownRun { .. }),
            "{error}"
        );
        catalogue.record_opened(&opened(&id)).await.unwrap();
        assert!(catalogue.record_product(&id, &product).await.unwrap());
        assert!(!catalogue.record_product(&id, &product).await.unwrap());
        let mut other = product.clone();
        other.crc64nvme = "f".repeat(16);
        let error = catalogue.record_product(&id, &other).await.unwrap_err();
        assert!(
            matches!(error, CatalogueError::Registered { .. }),
            "{error}"
        );
        other.version = 2;
        assert!(catalogue.record_product(&id, &other).await.unwrap());
        assert_eq!(catalogue.products(&id).await.unwrap(), [product, other]);
    });
}
