//! Keys for a token: got once, renewed in time, and never the fault of the data.

use std::path::Path;
use std::sync::Arc;

use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_storage::{
    PutOutcome, S3Config, S3Element, StorageElement, StorageError, StoreOptions, WebIdentity,
};
use futures::FutureExt;
use jiff::SignedDuration;

use crate::fake::{Fake, Faults};
use crate::files::{Files, PART, content, key, s3_config, store};

/// An element that has a token instead of keys, and a server that wants it.
async fn with_token(files: &Files, faults: Faults) -> (S3Element, Fake) {
    let fake = Fake::start().await;
    fake.set(Faults {
        wants_token: Some("first".to_owned()),
        ..faults
    });
    let element = S3Element::new(S3Config {
        web_identity: WebIdentity {
            token_file: Some(files.write("token", b"first\n")),
            role_arn: "arn:aws:iam::role/Ingest".to_owned(),
            ..WebIdentity::default()
        },
        ..s3_config(&fake.endpoint)
    });
    (element.unwrap(), fake)
}

#[tokio::test]
async fn keys_are_got_once_for_all_who_wait() {
    let files = Files::new();
    let (element, fake) = with_token(&files, Faults::default()).await;
    let names = ["a", "b", "c", "d"].map(key);
    let heads = names.iter().map(|name| element.head(name));
    for head in futures::future::join_all(heads).await {
        assert_eq!(head.unwrap(), None);
    }
    assert_eq!(fake.sessions(), (1, 0));
}

#[tokio::test]
async fn an_upload_goes_on_when_its_keys_end_in_the_middle() {
    let files = Files::new();
    let (element, fake) = with_token(&files, Faults::default()).await;
    let bytes = content(4 * PART, 1);
    let path = files.write("file", &bytes);
    let fake = Arc::new(fake);
    let (server, token) = (Arc::clone(&fake), files.0.path().join("token"));
    let left = std::sync::Mutex::new(2);
    let options = StoreOptions {
        // At the second part the session ends, and someone has renewed the token.
        pace: Some(Arc::new(move |_| {
            let mut left = left.lock().unwrap();
            *left -= 1;
            if *left == 0 {
                std::fs::write(&token, "second").unwrap();
                server.end_sessions("second");
            }
            std::future::ready(()).boxed()
        })),
        ..StoreOptions::default()
    };
    let stored = store(&element, &path, "a", options).await.unwrap();
    assert_eq!(stored.outcome, PutOutcome::Created);
    assert_eq!(fake.bytes("/a").unwrap(), bytes);
    let (given, refused) = fake.sessions();
    assert_eq!(given, 2);
    assert!(refused >= 1);
    assert_eq!(fake.uploads_begun(), 1, "the same upload went on");
}

#[tokio::test]
async fn keys_that_are_about_to_end_are_renewed_before_they_are_refused() {
    let files = Files::new();
    let short = Faults {
        keys_live: Some(SignedDuration::ZERO),
        ..Faults::default()
    };
    let (element, fake) = with_token(&files, short).await;
    let path = files.write("file", &content(2 * PART, 1));
    let stored = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    let (given, refused) = fake.sessions();
    assert!(
        given > 2 && refused == 0,
        "{given} given, {refused} refused"
    );
}

#[tokio::test]
async fn without_keys_it_is_an_outage_that_waits_for_people() {
    type Break = fn(&Fake, &Path);
    let wrong_token: Break = |_, token| std::fs::write(token, "forged").unwrap();
    let no_token: Break = |_, token| std::fs::remove_file(token).unwrap();
    let empty_token: Break = |_, token| std::fs::write(token, " \n").unwrap();
    for (number, break_it) in [wrong_token, no_token, empty_token].into_iter().enumerate() {
        let files = Files::new();
        let (element, fake) = with_token(&files, Faults::default()).await;
        let path = files.write("file", &content(10, 1));
        let token = files.0.path().join("token");
        break_it(&fake, &token);
        let error = store(&element, &path, "a", StoreOptions::default()).await;
        let error = error.unwrap_err();
        assert!(
            matches!(error, StorageError::Denied { .. }),
            "{number}: {error}"
        );
        assert_eq!(error.class(), ErrorClass::Unavailable);
        assert!(!error.to_string().contains("forged"), "{error}");
        std::fs::write(&token, "first").unwrap();
        let stored = store(&element, &path, "a", StoreOptions::default()).await;
        assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    }
}

#[tokio::test]
async fn keys_that_stay_refused_are_renewed_once_per_request() {
    let files = Files::new();
    let (element, fake) = with_token(&files, Faults::default()).await;
    element.head(&key("a")).await.unwrap();
    fake.end_sessions("first");
    fake.set(Faults {
        wants_token: Some("first".to_owned()),
        takes_no_keys: true,
        ..Faults::default()
    });
    let error = element.get(&key("a"), None).await.err().unwrap();
    assert!(matches!(error, StorageError::Denied { .. }), "{error}");
    assert_eq!(fake.sessions(), (2, 2));
}

#[test]
fn half_a_configuration_is_refused() {
    let refused = |web_identity: WebIdentity| {
        let config = S3Config {
            web_identity,
            ..s3_config("http://127.0.0.1:1")
        };
        S3Element::new(config).is_err()
    };
    let token_file = Some("/run/token".into());
    let role_arn = "arn:aws:iam::role/Ingest".to_owned();
    let whole = WebIdentity {
        token_file,
        role_arn,
        ..WebIdentity::default()
    };
    assert!(!refused(WebIdentity::default()) && !refused(whole.clone()));
    let no_file = WebIdentity {
        token_file: None,
        ..whole.clone()
    };
    let no_role = WebIdentity {
        role_arn: String::new(),
        ..whole.clone()
    };
    let too_short = WebIdentity {
        session_secs: 899,
        ..whole.clone()
    };
    let no_url = WebIdentity {
        endpoint: "sts".to_owned(),
        ..whole
    };
    assert!(
        [no_file, no_role, too_short, no_url]
            .into_iter()
            .all(refused)
    );
}
