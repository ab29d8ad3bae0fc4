use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;

/// An experiment as far as its web server shows it.
#[derive(Debug, Default)]
struct Experiment {
    running: bool,
    said: Vec<(String, i64, String)>,
    calls: usize,
}

type Shared = Arc<Mutex<Experiment>>;

/// A fake mhttpd, which speaks the JSON-RPC of MIDAS.
async fn mhttpd() -> (Mhttpd, Shared, CancellationToken) {
    let experiment = Shared::default();
    let routes = Router::new()
        .route("/", post(rpc))
        .with_state(Arc::clone(&experiment));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let end = CancellationToken::new();
    let server =
        axum::serve(listener, routes).with_graceful_shutdown(end.clone().cancelled_owned());
    tokio::runtime::Handle::current().spawn(async move { server.await });
    (
        Mhttpd::new(&format!("http://{address}/")).unwrap(),
        experiment,
        end,
    )
}

async fn rpc(State(experiment): State<Shared>, Json(request): Json<Value>) -> Json<Value> {
    let mut experiment = experiment.lock().unwrap();
    experiment.calls += 1;
    let params = &request["params"];
    let answer =
        |result: Value| Json(json!({"jsonrpc": "2.0", "result": result, "id": request["id"]}));
    match request["method"].as_str().unwrap() {
        "db_get_values" => {
            let paths = params["paths"].as_array().unwrap().iter();
            let values: Vec<_> = paths
                .map(|path| value(&experiment, path.as_str().unwrap()))
                .collect();
            let status: Vec<_> = values
                .iter()
                .map(|value| if value.is_null() { 312 } else { 1 })
                .collect();
            answer(json!({"data": values, "status": status}))
        }
        "cm_msg1" => {
            let text = |name: &str| params[name].as_str().unwrap().to_owned();
            let said = (
                text("user"),
                params["type"].as_i64().unwrap(),
                text("message"),
            );
            experiment.said.push(said);
            answer(json!({"status": 1}))
        }
        method => Json(json!({
            "jsonrpc": "2.0",
            "error": {"code": -32601, "message": "Method not found", "data": method},
            "id": request["id"],
        })),
    }
}

fn value(experiment: &Experiment, path: &str) -> Value {
    match path {
        "/Runinfo/State" => json!(if experiment.running { 3 } else { 1 }),
        "/Equipment/Gas/Variables/Measured" => json!([910.5, "NaN"]),
        "/Equipment/Gas/Settings/Names" => json!(["pressure", "flow"]),
        "/Equipment/HV/Variables" => json!({"status": "0x00000003"}),
        _ => Value::Null,
    }
}

fn config() -> MidasConfig {
    let slow = |path: &str, names: &str| SlowConfig {
        path: path.to_owned(),
        names: names.to_owned(),
    };
    MidasConfig {
        slow: vec![
            slow(
                "/Equipment/Gas/Variables/Measured",
                "/Equipment/Gas/Settings/Names",
            ),
            slow(
                "/Equipment/None/Variables",
                "/Equipment/None/Settings/Names",
            ),
            slow("/Equipment/HV/Variables", ""),
        ],
        ..MidasConfig::default()
    }
}

#[tokio::test]
async fn values_are_read_between_runs_under_the_names_of_the_odb() {
    let (mhttpd, experiment, _end) = mhttpd().await;
    let readings = read_slow(&mhttpd, &config()).await.unwrap();
    let [gas, hv] = &readings[..] else {
        panic!("{readings:?}");
    };
    assert_eq!(gas.path, "/Equipment/Gas/Variables/Measured");
    assert!((gas.values["pressure"] - 910.5).abs() < 1e-9);
    assert!(gas.values["flow"].is_nan());
    assert!((hv.values["status"] - 3.0).abs() < 1e-9);
    experiment.lock().unwrap().running = true;
    assert!(read_slow(&mhttpd, &config()).await.unwrap().is_empty());
    let always = MidasConfig {
        slow_during_runs: true,
        ..config()
    };
    assert_eq!(read_slow(&mhttpd, &always).await.unwrap().len(), 2);
    assert_eq!(experiment.lock().unwrap().calls, 3, "one request for all");
}

#[tokio::test]
async fn the_log_of_the_experiment_is_told_and_nobody_waits_for_it() {
    let (mhttpd, experiment, end) = mhttpd().await;
    let (log, said) = DaqLog::new();
    log.info("run LAB/7 is stored".to_owned());
    log.error("file run8.mid of run LAB/8 is quarantined".to_owned());
    let shutdown = CancellationToken::new();
    let speaking = speak(&mhttpd, "m2c@test", said, &shutdown);
    let reading = async {
        while experiment.lock().unwrap().said.len() < 2 {
            tokio::task::yield_now().await;
        }
        // Gone, and everybody goes on: what does not fit in the queue is dropped.
        end.cancel();
        for n in 0..10 * QUEUE {
            log.info(format!("run LAB/{n} is stored"));
        }
        shutdown.cancel();
    };
    tokio::join!(speaking, reading);
    let said = &experiment.lock().unwrap().said;
    assert_eq!(
        said[0],
        ("m2c@test".to_owned(), 2, "run LAB/7 is stored".to_owned())
    );
    assert_eq!(said[1].1, 1, "an error is one in the experiment's log");
    DaqLog::default().info("nobody listens".to_owned());
}

#[tokio::test]
async fn an_answer_that_is_not_of_midas_is_an_error_with_its_words() {
    let nobody = Mhttpd::new("http://127.0.0.1:1").unwrap();
    let error = nobody.values(&["/Runinfo/State"]).await.unwrap_err();
    assert!(matches!(error, MhttpdError::Http { .. }), "{error}");
    for (reply, words) in [
        (
            json!({"error": {"code": -32602, "message": "Invalid params"}}),
            "Invalid params",
        ),
        (
            json!({"result": {"data": [], "status": []}}),
            "0 values for 1 paths",
        ),
        (json!({}), "neither result nor error"),
    ] {
        let routes = Router::new().route("/", post(async move || Json(reply)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::runtime::Handle::current()
            .spawn(async move { axum::serve(listener, routes).await });
        let other = Mhttpd::new(&format!("http://{address}")).unwrap();
        let error = other
            .values(&["/Runinfo/State"])
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
        server.abort();
    }
}
