//! The API: a batch job that knows nothing but an address and a token.

use std::net::SocketAddr;

use aquifer_storage::{ObjectMeta, StorageElement as _};
use serde_json::{Value, json};

use crate::deployment::{Deployment, take};
use crate::slow_run::AwaitOn;
use crate::web::{ask_with, free_address};

const TOKEN: &str = "monitor.token=batch-4711";

/// A client of the API.
struct Client {
    listen: SocketAddr,
    token: &'static str,
}

impl Client {
    fn asks(&self, method: &str, page: &str, body: &Value) -> (u16, Value) {
        let token = format!("Bearer {}", self.token);
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", &token),
        ];
        let body = body.to_string();
        ask_with(self.listen, method, page, &headers, &body).unwrap_or_default()
    }

    fn gets(&self, page: &str) -> (u16, Value) {
        self.asks("GET", page, &Value::Null)
    }

    fn posts(&self, product: &Value) -> (u16, Value) {
        self.asks("POST", "/v1/runs/LAB/1/products", product)
    }
}

#[test]
fn a_job_asks_for_a_run_and_records_what_it_made() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let listen = free_address();
    let address = format!("monitor.listen={listen}");
    let api = deployment.service_set("monitor", &[&address, TOKEN], None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    let job = Client {
        listen,
        token: "batch-4711",
    };
    deployment.wait_until("an API", || job.gets("/readyz").0 == 200);

    let (status, run) = job.gets("/v1/runs/LAB/1");
    assert_eq!(
        (status, &run["run"]["id"]["number"]),
        (200, &json!(1)),
        "{run:#}"
    );
    assert_eq!(
        run["replicas"][0]["bucket"],
        deployment.storage().location()
    );

    let storage = deployment.storage();
    let key = "made/reco.root".parse().unwrap();
    let meta = ObjectMeta::new();
    storage
        .put(&key, "reconstructed".into(), &meta)
        .await_on(&deployment);
    let read = storage.read_back(&key).await_on(&deployment);
    let url = format!("s3://{}/{key}", storage.location());
    let word = json!({ "level": "reco", "pass": "std", "url": url });
    let (status, recorded) = job.posts(&word);
    assert_eq!(status, 201, "{recorded:#}");
    assert_eq!(recorded["version"], 1);
    assert_eq!(recorded["size"], 13);
    assert_eq!(recorded["crc64nvme"], read.crc64nvme.to_string());
    assert_eq!(job.posts(&word).0, 200, "said again");
    let (_, products) = job.gets("/v1/runs/LAB/1/products");
    assert_eq!(products, json!([recorded]));
    let on_the_command_line = deployment.expect(&["products", "list", "1", "--json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&on_the_command_line).unwrap(),
        products
    );

    refuses_what_is_not_so(&job, &word);
    assert_eq!(job.gets("/v1/runs/LAB/1/products").1, products, "as it was");
    api.stop();
    drop(m2c);
}

/// None of these is recorded, and each answer says why.
fn refuses_what_is_not_so(client: &Client, word: &Value) {
    let with = |field: &str, value: Value| {
        let mut product = word.clone();
        product["version"] = 2.into();
        product[field] = value;
        client.posts(&product)
    };
    let wrong_field = |field: &str, value: Value| {
        let (status, answer) = with(field, value);
        assert_eq!((status, &answer["field"]), (400, &field.into()), "{answer}");
    };
    wrong_field("level", "../raw".into());
    wrong_field("version", 0.into());
    wrong_field("colour", "red".into());
    wrong_field("crc64nvme", "zz".into());
    wrong_field("url", "https://elsewhere/reco.root".into());
    wrong_field("url", "s3://another/reco.root".into());
    let nothing = word["url"].as_str().unwrap().replace("made", "unmade");
    wrong_field("url", nothing.into());
    // What the job says of its object is not what is there.
    for (field, value) in [
        ("size", json!(14)),
        ("crc64nvme", json!("0123456789abcdef")),
    ] {
        let (status, answer) = with(field, value);
        assert_eq!(status, 409, "{answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(field),
            "{answer}"
        );
    }
    let (status, answer) = client.gets("/v1/runs/LAB/2/products");
    assert_eq!(status, 404, "{answer}");
    assert_eq!(client.gets("/v1/runs/LAB/x").0, 400);

    let stranger = Client {
        listen: client.listen,
        token: "batch-4712",
    };
    assert_eq!(stranger.gets("/v1/runs/LAB/1").0, 401);
    assert_eq!(stranger.posts(word).0, 401);
    let form = [("Authorization", "Bearer batch-4711")];
    let page = "/v1/runs/LAB/1/products";
    let (status, _) = ask_with(client.listen, "POST", page, &form, &word.to_string()).unwrap();
    assert_eq!(status, 415);
}

#[test]
fn an_api_without_a_token_serves_nobody_and_one_without_catalogue_asks_to_come_again() {
    let mut deployment = Deployment::start();
    let listen = free_address();
    let address = format!("monitor.listen={listen}");
    let open = Client { listen, token: "" };
    let monitor = deployment.service_set("monitor", &[&address], None);
    deployment.wait_until("refused", || open.gets("/v1/runs/LAB/1").0 == 403);
    monitor.stop();

    let monitor = deployment.service_set("monitor", &[&address, TOKEN], None);
    let job = Client {
        listen,
        token: "batch-4711",
    };
    deployment.wait_until("served", || job.gets("/v1/runs/LAB/1").0 == 404);
    let database = aquifer_stack::Server::MariaDb;
    let killed = deployment.stack.kill(database);
    deployment.runtime.block_on(killed).unwrap();
    deployment.wait_until("asked to come again", || {
        job.gets("/v1/runs/LAB/1").0 == 503
    });
    deployment.wait_until("not ready", || job.gets("/readyz").0 == 503);
    let back = deployment
        .stack
        .restart(database, aquifer_stack::Halt::Kill);
    deployment.runtime.block_on(back).unwrap();
    deployment.wait_until("served again", || job.gets("/v1/runs/LAB/1").0 == 404);
    deployment.wait_until("ready again", || job.gets("/readyz").0 == 200);
    monitor.stop();
}
