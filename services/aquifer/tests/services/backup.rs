//! A backup of the catalogue, and a server that has nothing but that.

use std::fs::File;
use std::process::{Command, Stdio};

use aquifer_stack::{Halt, Server};

use crate::deployment::{Deployment, take};

impl Deployment {
    /// A client program of MariaDB on the catalogue's database, as docs/guide/backup.md
    /// calls it.
    fn mariadb(&self, program: &str, options: &[&str]) -> Command {
        let server = &self.stack.endpoints().mariadb;
        let mut command = Command::new(program);
        command
            .arg("--no-defaults")
            .args(["--protocol=tcp", "--host", &server.host])
            .args(["--port", &server.port.to_string()])
            .args(["--user", &server.user])
            .env("MYSQL_PWD", &server.password)
            .args(options)
            .arg(&server.database);
        command
    }

    fn back_up(&self, to: &str) {
        let file = File::create(self.folder.path().join(to)).unwrap();
        let options = ["--single-transaction", "--quick", "--hex-blob"];
        let status = self.mariadb("mariadb-dump", &options).stdout(file).status();
        assert!(status.unwrap().success());
    }

    fn load(&self, from: &str) {
        let file = File::open(self.folder.path().join(from)).unwrap();
        let mut command = self.mariadb("mariadb", &[]);
        let status = command.stdin(Stdio::from(file)).status();
        assert!(status.unwrap().success());
    }
}

#[test]
fn a_catalogue_comes_back_from_its_backup() {
    let mut deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    take(&mut daq);
    take(&mut daq);
    deployment.wait_stored(2);
    deployment.wait_told();
    // While the services work.
    deployment.back_up("catalogue.sql");
    m2c.stop();
    relay.stop();
    let before = deployment.expect(&["runs", "show", "1", "--json"]);

    // The server and its disk are gone; another one takes its place.
    let data = deployment.folder.path().join("stack/data/mariadb");
    let stack = &mut deployment.stack;
    let replaced = async {
        stack.kill(Server::MariaDb).await.unwrap();
        std::fs::remove_dir_all(data).unwrap();
        stack.restart(Server::MariaDb, Halt::Term).await.unwrap();
    };
    deployment.runtime.block_on(replaced);
    assert!(!deployment.run(&["runs", "list"]).status.success());
    deployment.load("catalogue.sql");
    deployment.check_conserved(2);
    let after = deployment.expect(&["runs", "show", "1", "--json"]);
    assert_eq!(after, before);

    // And the services go on with it.
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    take(&mut daq);
    deployment.wait_stored(3);
    deployment.check_conserved(3);
    m2c.stop();
    relay.stop();
}
