//! `/readyz` tells the truth while a dependency is away, and again when it is back.

use std::net::SocketAddr;
use std::process::Stdio;

use aquifer_stack::{Halt, Server};

use crate::deployment::{Deployment, take};
use crate::web::{ask, free_address};

fn is_ready(address: SocketAddr) -> bool {
    ask(address, "GET", "/readyz", "").is_some_and(|(status, _)| status == 200)
}

#[test]
fn the_relay_is_not_ready_while_catalogue_or_bus_is_away() {
    let mut deployment = Deployment::start();
    let address = free_address();
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
            let (status, report) = ask(address, "GET", "/readyz", "").unwrap_or_default();
            status == 503 && report["components"][component]["state"] == "not-ready"
        });
        let stack = &mut deployment.stack;
        let back = stack.restart(server, Halt::Kill);
        deployment.runtime.block_on(back).unwrap();
        deployment.wait_until("ready again", || is_ready(address));
    }
    drop(relay.stdin.take());
    assert!(relay.wait().unwrap().success());
}
