//! `/readyz` tells the truth while a dependency is away, and again when it is back.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use aquifer_stack::{Halt, Server};

use crate::deployment::{Deployment, take};

/// What `/readyz` answers; empty while nobody does.
fn readiness(address: SocketAddr) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().unwrap_or_default()
}

fn is_ready(address: SocketAddr) -> bool {
    readiness(address).starts_with("HTTP/1.1 200")
}

#[test]
fn the_relay_is_not_ready_while_catalogue_or_bus_is_away() {
    let mut deployment = Deployment::start();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let listen = format!("relay.listen={address}");
    let mut relay = deployment
        .command(&["--set", &listen, "relay", "--until-stdin-closes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    deployment.wait_until("ready", || is_ready(address));
    for (server, component) in [(Server::MariaDb, "catalogue"), (Server::Kafka, "bus")] {
        let stack = &mut deployment.stack;
        deployment.runtime.block_on(stack.kill(server)).unwrap();
        if server == Server::Kafka {
            // Without anything to publish nobody misses the bus.
            take(&mut deployment.daq(|config| config.frames_per_run = 1));
            let m2c = deployment.service("m2c", None);
            deployment.wait_until("stored", || deployment.count("stored") == 1);
            drop(m2c);
        }
        deployment.wait_until(component, || {
            let answer = readiness(address);
            let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
            let report: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            !answer.starts_with("HTTP/1.1 200")
                && report["components"][component]["state"] == "not-ready"
        });
        let stack = &mut deployment.stack;
        let back = stack.restart(server, Halt::Kill);
        deployment.runtime.block_on(back).unwrap();
        deployment.wait_until("ready again", || is_ready(address));
    }
    drop(relay.stdin.take());
    assert!(relay.wait().unwrap().success());
}
