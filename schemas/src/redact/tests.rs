//! A planted secret survives nowhere; ordinary words do.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn names_of_secrets_are_known_in_every_spelling() {
    for name in [
        "password",
        "PASSWD",
        "Pwd",
        "MSCB Pwd",
        "/Logger/Runlog/SQL/Password",
        "/Credentials/SQL/User",
        "discord_webhook_URL",
        "api key",
        "API-Key",
        "apiKey",
        "aws.secret_access_key",
        "BEARER_TOKEN",
        "authToken",
        "Passphrase",
        "private key",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "pass",
        "key",
        "user",
        "auth",
        "bypass",
        "keyboard",
        "operator",
        "run type",
        "/Equipment/HV/Demand",
        "",
        "std",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
fn measures_are_no_secrets_and_texts_under_their_names_are() {
    let kept = |name, value| redact_value(name, value).0 == value;
    assert!(kept("token_count", "17"));
    assert!(kept("tokenCount", "17"));
    assert!(kept("TOKEN COUNT", "1.5e3"));
    assert!(kept("password length", "12"));
    assert!(kept("token enabled", "true"));
    assert!(!kept("token_count", "x17"));
    assert!(!kept("tokenAccount", "17"));
    assert!(!kept("token", "17"), "a PIN is a number");
}

#[test]
fn texts_are_said_without_their_secrets() {
    for (text, said) in [
        (
            "nothing to hide: run 7 = good",
            "nothing to hide: run 7 = good",
        ),
        (
            "https://elog.example.org/run?id=7",
            "https://elog.example.org/run?id=7",
        ),
        ("10:30:12 @ LNGS", "10:30:12 @ LNGS"),
        ("shifter@host:22", "shifter@host:22"),
        (
            "mysql://daq:hunter2@db.example.org/runs",
            "mysql://***@db.example.org/runs",
        ),
        ("mysql://daq:a/b@c@db/runs now", "mysql://***@db/runs now"),
        (
            "see https://discord.com/api/webhooks/12/abC-d_e for more",
            "see https://discord.com/*** for more",
        ),
        (
            "https://hooks.slack.com/services/T0/B0/x",
            "https://hooks.slack.com/***",
        ),
        ("PASSWORD = hunter2", "PASSWORD = ***"),
        ("user=daq password=hunter2 host=db", "user=daq password=***"),
        (
            "the api key: 12 34\nnext line",
            "the api key: ***\nnext line",
        ),
        ("token='a\nb' c\nd", "token=***\nd"),
        ("mysql --password hunter2 runs", "mysql --password ***"),
        ("Authorization: Bearer abc.DEF.ghi", "Authorization: ***"),
        ("curl -H 'Bearer abc.DEF.ghi'", "curl -H 'Bearer ***"),
        ("the bearer of this letter", "the bearer of this letter"),
        ("a token of esteem", "a token of esteem"),
        ("tokens: 17 (token count: 17)", "tokens: ***"),
        ("token count: 17", "token count: 17"),
        (
            "https://h/p?access_token=abc&x=1",
            "https://h/p?access_token=***",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\nMIIE\n",
            "-----BEGIN PUBLIC KEY-----\nMIIE\n",
        ),
        ("Password = STRING : [32] hunter2", "Password = ***"),
        ("pàßword=é, passwört=ü", "pàßword=é, passwört=ü"),
    ] {
        assert_eq!(redact_text(text).0, said);
    }
}

#[test]
fn an_odb_is_said_without_its_secrets_and_each_is_reported() {
    let odb = json!({
        "Logger": { "Runlog": { "SQL": {
            "Password": "hunter2", "Hostname": "db", "Empty password": "", "Use token": false,
        } } },
        "Mail": ["daq@example.org", "smtp://daq:hunter2@mail"],
        "Webhook": { "URL": "abc", "Retries": 3 },
        "Settings": "{\"api_key\":\"hunter2\",\"rate\":2}",
        "Env": [{ "name": "DB_PASSWORD", "value": "hunter2" }],
        "Tokens": { "Token count": 3 },
    });
    let mut found = Vec::new();
    let said = redact_json("", &odb, &mut found);
    assert_eq!(
        said,
        json!({
            "Logger": { "Runlog": { "SQL": {
                "Password": "***", "Hostname": "db", "Empty password": "", "Use token": false,
            } } },
            "Mail": ["daq@example.org", "smtp://***@mail"],
            "Webhook": { "URL": "***", "Retries": "***" },
            "Settings": "{\"api_key\":\"***\",\"rate\":2}",
            "Env": [{ "name": "DB_PASSWORD", "value": "***" }],
            "Tokens": { "Token count": 3 },
        })
    );
    let mut said: Vec<String> = found.iter().map(ToString::to_string).collect();
    said.sort();
    assert_eq!(
        said,
        [
            "/Env[0]/value (named)",
            "/Logger/Runlog/SQL/Password (named)",
            "/Mail[1] (url-user)",
            "/Settings (named)",
            "/Webhook/Retries (named)",
            "/Webhook/URL (named)",
        ]
    );
}

/// Something that nobody would say by chance.
fn secret() -> impl Strategy<Value = String> {
    "[A-Za-z0-9]{4}[A-Za-z0-9_.!$%*+~-]{6,18}[A-Za-z0-9]{2}"
}

fn secret_name() -> impl Strategy<Value = String> {
    let stem = prop::sample::select(vec![
        "password",
        "Passwd",
        "PWD",
        "secret",
        "token",
        "Webhook",
        "api key",
        "API_KEY",
        "credentials",
        "accessKey",
    ]);
    let affix = prop::sample::select(vec!["", "db_", "My ", "/Logger/SQL/", "x."]);
    let ending = prop::sample::select(vec!["", "_2", " url", "/value"]);
    (affix, stem, ending).prop_map(|(affix, stem, ending)| format!("{affix}{stem}{ending}"))
}

/// A JSON document, and the secrets planted in it.
fn document() -> impl Strategy<Value = (Value, Vec<String>)> {
    let plain = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z ]{0,12}".prop_map(Value::from),
    ]
    .prop_map(|value| (value, Vec::new()));
    let in_text = (shown(), secret()).prop_map(|(show, secret)| {
        let text = show(&secret);
        (Value::from(text), vec![secret])
    });
    let leaf = prop_oneof![3 => plain, 1 => in_text];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let member = prop_oneof![
            3 => ("[a-z]{1,6}", inner.clone()),
            1 => (secret_name(), hidden()),
        ];
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| {
                let (items, secrets): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                (Value::Array(items), secrets.concat())
            }),
            prop::collection::vec(member, 0..4).prop_map(|members| {
                let mut secrets = Vec::new();
                let mut object = serde_json::Map::new();
                for (key, (value, planted)) in members {
                    object.insert(key, value);
                    secrets.extend(planted);
                }
                (Value::Object(object), secrets)
            }),
        ]
    })
}

/// Anything at all below a secret's name.
fn hidden() -> BoxedStrategy<(Value, Vec<String>)> {
    let one = secret().prop_map(|secret| (Value::from(secret.clone()), vec![secret]));
    let nested =
        (secret(), secret()).prop_map(|(a, b)| (json!({ "user": a, "x": [b] }), vec![a, b]));
    prop_oneof![one, nested].boxed()
}

/// Ways in which a text shows a secret.
fn shown() -> impl Strategy<Value = fn(&str) -> String> {
    let ways: Vec<fn(&str) -> String> = vec![
        |s| format!("password={s}"),
        |s| format!("connect with user=a;pwd: '{s}' tonight"),
        |s| format!("retry, token = \"x {s}\nand {s}\", then\nmore"),
        |s| format!("https://daq:{s}@host:8080/path?x=1 failed"),
        |s| format!("post https://discord.com/api/webhooks/1/{s}, then wait"),
        |s| format!("https://hooks.slack.com/services/T/B/{s}"),
        |s| format!("GET /x Authorization: Bearer {s}1A"),
        |s| format!("{{\"a\":{{\"api_key\":\"{s}\"}}}}"),
        |s| format!("mysqldump --password {s} runs"),
        |s| format!("-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----"),
        |s| format!("https://h/cb?y=2&access_token={s}&z=3"),
        |s| format!("first password=x{s}\nthen secret={s}"),
    ];
    prop::sample::select(ways)
}

proptest! {
    #[test]
    fn no_planted_secret_survives_in_a_text(
        before in "[a-z \n=:/@\"']{0,20}", show in shown(), secret in secret(), after in "\n?[a-z ]{0,10}",
    ) {
        let text = format!("{before}\n{}{after}", show(&secret));
        let (said, kind) = redact_text(&text);
        prop_assert!(!said.contains(&secret), "{text:?} is said as {said:?}");
        prop_assert!(kind.is_some());
    }

    #[test]
    fn no_planted_secret_survives_under_its_name(name in secret_name(), secret in secret()) {
        let (said, kind) = redact_value(&name, &secret);
        prop_assert_eq!((said.as_str(), kind), (MASK, Some(SecretKind::Named)));
    }

    #[test]
    fn no_planted_secret_survives_in_a_document((document, secrets) in document()) {
        let mut found = Vec::new();
        let said = redact_json("", &document, &mut found).to_string();
        let told = found.iter().map(ToString::to_string).collect::<String>();
        for secret in &secrets {
            prop_assert!(!said.contains(secret.as_str()), "{document} is said as {said}");
            prop_assert!(!told.contains(secret.as_str()), "{told}");
        }
        prop_assert_eq!(found.is_empty(), secrets.is_empty());
    }

    #[test]
    fn what_was_said_is_said_again_unchanged(text in any::<String>(), show in shown(), secret in secret()) {
        for text in [text.clone(), format!("{text} {}", show(&secret))] {
            let (said, _) = redact_text(&text);
            let (again, kind) = redact_text(&said);
            prop_assert_eq!(&again, &said);
            prop_assert_eq!(kind, None);
        }
    }
}
