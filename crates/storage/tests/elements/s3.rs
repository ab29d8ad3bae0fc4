//! What must hold when an S3 server lies, forgets, fails or is not there.

use aquifer_digest::Digests;
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::EvidenceLevel;
use aquifer_storage::{
    Capabilities, ObjectMeta, PutOutcome, StorageElement, StorageError, StoreOptions,
};
use axum::http::Method;
use bytes::Bytes;

use crate::fake::{Fake, Faults};
use crate::files::{Files, PART, content, key, s3, store};

#[tokio::test]
async fn an_object_has_one_url_with_the_prefix_in_it() {
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    let run = key("a/run1.mid");
    element
        .put(&run, Bytes::from_static(b"x"), &ObjectMeta::new())
        .await
        .unwrap();
    assert_eq!(element.url_of(&run), "s3://raw/below/here/a/run1.mid");
    let there = element.key_at("s3://raw/below/here/a/run1.mid").unwrap();
    assert_eq!(there.as_ref(), Some(&run));
    assert!(element.head(&there.unwrap()).await.unwrap().is_some());
    for elsewhere in [
        "s3://raw/a/run1.mid",
        "s3://raw/below/hereafter/run1.mid",
        "s3://other/below/here/a/run1.mid",
        "https://raw/below/here/a/run1.mid",
    ] {
        assert_eq!(element.key_at(elsewhere).unwrap(), None, "{elsewhere}");
    }
    assert!(element.key_at("s3://raw/below/here/../run1.mid").is_err());
}

async fn probed(faults: Faults) -> (Capabilities, Fake) {
    let fake = Fake::start().await;
    fake.set(faults);
    let found = s3(&fake.endpoint).probe().await.unwrap();
    (found, fake)
}

#[tokio::test]
async fn the_probe_sees_through_each_lie_and_leaves_nothing_behind() {
    let lying = Faults {
        takes_wrong_checksums: true,
        ..Faults::default()
    };
    let half_lying = Faults {
        takes_wrong_wholes: true,
        ..Faults::default()
    };
    let careless = Faults {
        ignores_conditions: true,
        ..Faults::default()
    };
    let forgetful = Faults {
        forgets_checksums: true,
        ..Faults::default()
    };
    let exacting = Faults {
        wants_signed_payloads: true,
        ..Faults::default()
    };
    let cases = [
        (Faults::default(), Capabilities::ALL),
        (
            exacting,
            Capabilities {
                unsigned_payload: false,
                ..Capabilities::ALL
            },
        ),
        (
            lying,
            Capabilities {
                refuses_wrong_checksum: false,
                refuses_wrong_full_object_checksum: false,
                ..Capabilities::ALL
            },
        ),
        (
            half_lying,
            Capabilities {
                refuses_wrong_full_object_checksum: false,
                ..Capabilities::ALL
            },
        ),
        (
            careless,
            Capabilities {
                conditional_put: false,
                conditional_complete: false,
                ..Capabilities::ALL
            },
        ),
        (
            forgetful,
            Capabilities {
                echoes_checksum: false,
                ..Capabilities::ALL
            },
        ),
    ];
    for (faults, expected) in cases {
        let (found, fake) = probed(faults.clone()).await;
        assert_eq!(found, expected, "{faults:?}");
        assert!(fake.keys().is_empty() && fake.uploads().is_empty());
    }
}

#[tokio::test]
async fn races_are_lost_where_conditions_are_not_kept() {
    let (honest, fake) = (Faults::default(), Fake::start().await);
    let ignores_all = Faults {
        ignores_conditions: true,
        ..Faults::default()
    };
    let ignores_some = Faults {
        ignores_complete_conditions: true,
        ..Faults::default()
    };
    for (faults, lost) in [
        (honest, (0, 0)),
        (ignores_all, (2, 2)),
        (ignores_some, (0, 2)),
    ] {
        fake.set(faults);
        let races = s3(&fake.endpoint).race(2).await.unwrap();
        assert_eq!((races.rounds, races.writers), (2, 8));
        assert_eq!((races.lost_by_put, races.lost_by_complete), lost);
        assert!(fake.keys().is_empty() && fake.uploads().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_wants_signed_payloads_gets_them_after_its_probe() {
    let (files, fake) = (Files::new(), Fake::start().await);
    fake.set(Faults {
        wants_signed_payloads: true,
        ..Faults::default()
    });
    let element = s3(&fake.endpoint);
    let path = files.write("file", &content(PART + 1, 1));
    let error = store(&element, &path, "a", StoreOptions::default()).await;
    assert!(matches!(error, Err(StorageError::Damaged { .. })));
    element.probe().await.unwrap();
    let stored = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(stored.unwrap().evidence, EvidenceLevel::E2);
}

#[tokio::test]
async fn evidence_is_as_good_as_the_probe() {
    let files = Files::new();
    for (takes_wrong_checksums, level) in [(false, EvidenceLevel::E2), (true, EvidenceLevel::E1)] {
        let fake = Fake::start().await;
        fake.set(Faults {
            takes_wrong_checksums,
            ..Faults::default()
        });
        let element = s3(&fake.endpoint);
        for (name, size) in [("small", 10), ("large", PART + 1)] {
            let path = files.write(name, &content(size, 1));
            let unprobed = format!("unprobed/{name}");
            let stored = store(&element, &path, &unprobed, StoreOptions::default()).await;
            assert_eq!(stored.unwrap().evidence, EvidenceLevel::E1);
        }
        element.probe().await.unwrap();
        for name in ["small", "large"] {
            let path = files.0.path().join(name);
            let stored = store(&element, &path, name, StoreOptions::default()).await;
            assert_eq!(stored.unwrap().evidence, level, "{name}");
        }
    }
}

#[tokio::test]
async fn a_claimed_checksum_of_a_liar_is_not_believed_when_adopting() {
    let files = Files::new();
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    fake.set(Faults {
        takes_wrong_checksums: true,
        flipped_parts: 1,
        ..Faults::default()
    });
    element.probe().await.unwrap();
    fake.set(Faults {
        takes_wrong_checksums: true,
        flipped_parts: 1,
        ..Faults::default()
    });
    let path = files.write("file", &content(2 * PART, 1));
    let stored = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(stored.unwrap().evidence, EvidenceLevel::E1);
    // The server still echoes the checksum that was sent.
    let again = store(&element, &path, "a", StoreOptions::default()).await;
    assert!(matches!(again, Err(StorageError::Conflict { .. })));
}

#[tokio::test]
async fn bits_that_flip_on_the_way_are_refused_and_nothing_is_visible() {
    let files = Files::new();
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    fake.set(Faults {
        flipped_parts: 1,
        ..Faults::default()
    });
    let path = files.write("file", &content(3 * PART, 1));
    let error = store(&element, &path, "a", StoreOptions::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(fake.keys().is_empty() && fake.uploads().is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_looking() {
    let files = Files::new();
    for (size, conditional) in [(10, true), (PART + 1, true), (10, false), (PART + 1, false)] {
        let fake = Fake::start().await;
        let element = s3(&fake.endpoint);
        element.probe().await.unwrap();
        fake.set(Faults {
            lost_replies: 1,
            ignores_conditions: !conditional,
            ..Faults::default()
        });
        let bytes = content(size, 1);
        let path = files.write("file", &bytes);
        let stored = store(&element, &path, "a", StoreOptions::default()).await;
        let stored = stored.unwrap();
        assert_eq!(stored.stored_crc64nvme, Digests::of(&bytes).crc64nvme);
        assert_eq!(fake.bytes("/a").unwrap(), bytes);
        assert!(fake.uploads().is_empty());
    }
}

#[tokio::test]
async fn a_faster_writer_wins_and_is_compared() {
    let files = Files::new();
    let bytes = content(PART + 1, 1);
    let path = files.write("file", &bytes);
    for (faster, ours) in [(bytes.clone(), true), (content(PART + 1, 2), false)] {
        let fake = Fake::start().await;
        let element = s3(&fake.endpoint);
        element.probe().await.unwrap();
        fake.set(Faults {
            faster_writer: Some(Bytes::from(faster.clone())),
            ..Faults::default()
        });
        let stored = store(&element, &path, "a", StoreOptions::default()).await;
        match stored {
            Ok(stored) => assert!(ours && stored.outcome == PutOutcome::Adopted),
            Err(StorageError::Conflict { .. }) => assert!(!ours),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(fake.bytes("/a").unwrap(), faster);
        assert!(fake.uploads().is_empty(), "our parts are dropped");
    }
}

#[tokio::test]
async fn writers_are_kept_apart_where_completions_are_not() {
    let files = Files::new();
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    fake.set(Faults {
        ignores_complete_conditions: true,
        ..Faults::default()
    });
    let found = element.probe().await.unwrap();
    assert!(found.conditional_put && !found.conditional_complete);
    for round in 0..10 {
        let name = format!("race/{round}");
        let one = files.write("one", &content(PART + 1, 1));
        let two = files.write("two", &content(PART + 1, 2));
        let (one, two) = tokio::join!(
            store(&element, &one, &name, StoreOptions::default()),
            store(&element, &two, &name, StoreOptions::default()),
        );
        let stored = match (one, two) {
            (Ok(stored), Err(StorageError::Conflict { .. }))
            | (Err(StorageError::Conflict { .. }), Ok(stored)) => stored,
            both => panic!("exactly one must win: {both:?}"),
        };
        let standing = fake.bytes(&name).unwrap();
        assert_eq!(Digests::of(&standing), stored.sealed.digests());
    }
    assert!(fake.uploads().is_empty());
    assert_eq!(fake.keys().len(), 10, "claims are given back");
}

#[tokio::test]
async fn a_claim_left_behind_stops_other_content_only() {
    let files = Files::new();
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    element.probe().await.unwrap();
    let path = files.write("file", &content(PART + 1, 1));
    let other = files.write("other", &content(PART + 1, 2));
    fake.set(Faults {
        unreachable_completions: 1,
        ..Faults::default()
    });
    let error = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(error.unwrap_err().class(), ErrorClass::Unavailable);
    assert_eq!(fake.keys().len(), 1, "the claim: the object may yet appear");
    let error = store(&element, &other, "a", StoreOptions::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, StorageError::Conflict { .. }), "{error}");
    let stored = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    assert_eq!(fake.keys(), ["below/here/a"]);
}

#[tokio::test]
async fn without_checksums_on_the_server_the_bytes_are_read_back() {
    let files = Files::new();
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    fake.set(Faults {
        forgets_checksums: true,
        ..Faults::default()
    });
    element.probe().await.unwrap();
    let path = files.write("file", &content(2 * PART, 1));
    let first = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(first.unwrap().outcome, PutOutcome::Created);
    let begun = fake.uploads_begun();
    let again = store(&element, &path, "a", StoreOptions::default())
        .await
        .unwrap();
    assert_eq!(again.outcome, PutOutcome::Adopted);
    assert_eq!(again.evidence, EvidenceLevel::E4);
    assert_eq!(fake.uploads_begun(), begun, "nothing is sent again");
}

#[tokio::test]
async fn without_conditions_a_used_key_is_seen_before_writing() {
    let files = Files::new();
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    fake.set(Faults {
        ignores_conditions: true,
        ..Faults::default()
    });
    element.probe().await.unwrap();
    let first = content(10, 1);
    let (name, meta) = (key("a"), ObjectMeta::new());
    let body = Bytes::from(first.clone());
    element.put(&name, body, &meta).await.unwrap();
    let error = element
        .put(&name, Bytes::from_static(b"other"), &meta)
        .await;
    assert!(matches!(error, Err(StorageError::Conflict { .. })));
    let path = files.write("file", &content(PART + 1, 2));
    let error = store(&element, &path, "a", StoreOptions::default()).await;
    assert!(matches!(error, Err(StorageError::Conflict { .. })));
    assert_eq!(fake.bytes("/a").unwrap(), first);
}

#[tokio::test]
async fn a_small_file_costs_one_write_and_one_look_where_conditions_hold() {
    let files = Files::new();
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    let path = files.write("file", &content(10, 1));
    let other = files.write("other", &content(10, 2));
    store(&element, &path, "before", StoreOptions::default())
        .await
        .unwrap();
    let methods = [Method::HEAD, Method::PUT, Method::HEAD];
    assert_eq!(fake.asked(), methods, "nothing is known of the server");
    element.probe().await.unwrap();
    fake.asked();
    let stored = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    assert_eq!(fake.asked(), [Method::PUT, Method::HEAD]);
    let again = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(again.unwrap().outcome, PutOutcome::Adopted);
    let error = store(&element, &other, "a", StoreOptions::default()).await;
    assert!(matches!(error, Err(StorageError::Conflict { .. })));
    assert_eq!(fake.bytes("/a").unwrap(), content(10, 1));
}

#[tokio::test]
async fn an_overloaded_server_is_an_outage_and_the_next_attempt_succeeds() {
    let files = Files::new();
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    fake.set(Faults {
        slow_downs: 100,
        ..Faults::default()
    });
    let path = files.write("file", &content(3 * PART, 1));
    let error = store(&element, &path, "a", StoreOptions::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
    assert_eq!(fake.uploads().len(), 1, "left to be gone on with");
    fake.set(Faults::default());
    let stored = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_outage() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = s3(&endpoint).head(&key("a")).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
    let error = s3(&endpoint).probe().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
}
