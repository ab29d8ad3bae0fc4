//! MariaDB: one server with its own data folder and socket.
//!
//! The database and its user are made by an init file, which the server executes at each
//! start before it takes connections: no client program is needed, and a folder whose
//! `stack.json` was lost gets working credentials again.

use std::path::Path;
use std::process::Command;

use crate::plan::{Plan, is_root};
use crate::{Server, StackError, wire};

/// The command that makes a data folder.
pub(crate) fn install(plan: &Plan, data: &Path) -> Command {
    let mut command = plan.command(&plan.options.tools.mariadb_install_db);
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .args(["--skip-test-db", "--skip-name-resolve"])
        .arg("--auth-root-authentication-method=socket");
    as_root(&mut command);
    command
}

/// The command that runs the server.
pub(crate) fn serve(plan: &Plan) -> Result<Command, StackError> {
    let init = plan.folder.write_etc("mariadb-init.sql", &init(plan))?;
    let data = plan.folder.data(Server::MariaDb);
    let tmp = plan.folder.tmp();
    let endpoint = &plan.endpoints.mariadb;
    // 2: a commit is written at once and forced to the disk once a second.
    let flush = if plan.options.mariadb_durable { 1 } else { 2 };
    let mut command = plan.command(&plan.options.tools.mariadbd);
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--tmpdir={}", tmp.display()))
        .arg(format!("--secure-file-priv={}", tmp.display()))
        .arg(format!("--init-file={}", init.display()))
        .arg(format!("--socket={}", endpoint.socket.display()))
        .arg(format!("--pid-file={}", tmp.join("mariadb.pid").display()))
        .arg(format!("--port={}", endpoint.port))
        .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
        .args(["--character-set-server=utf8mb4", "--local-infile=OFF"])
        .args(["--max-connections=300", "--max-allowed-packet=64M"])
        .arg(format!(
            "--innodb-buffer-pool-size={}M",
            plan.options.mariadb_memory_mib
        ))
        .arg("--innodb-log-file-size=128M")
        .arg(format!("--innodb-flush-log-at-trx-commit={flush}"));
    if let Some(certificates) = &plan.certificates {
        command
            .arg(format!("--ssl-ca={}", certificates.authority.display()))
            .arg(format!("--ssl-cert={}", certificates.chain.display()))
            .arg(format!("--ssl-key={}", certificates.key.display()))
            .arg("--require-secure-transport=ON");
    }
    as_root(&mut command);
    Ok(command)
}

/// Whether the server takes connections, which it does when the init file is done.
pub(crate) async fn look(plan: &Plan) -> Result<(), String> {
    wire::mariadb(plan.ports.mariadb()).await
}

/// MariaDB refuses to run as root unless told that this is meant.
fn as_root(command: &mut Command) {
    if is_root() {
        command.arg("--user=root");
    }
}

/// One statement a line. The words come from [`Plan::new`]: letters and digits only.
/// Local users come as `localhost` by the socket and as `127.0.0.1` by TCP.
fn init(plan: &Plan) -> String {
    let endpoint = &plan.endpoints.mariadb;
    let (database, user, password) = (&endpoint.database, &endpoint.user, &endpoint.password);
    let account = |host| {
        format!(
            "CREATE OR REPLACE USER '{user}'@'{host}' IDENTIFIED BY '{password}';\n\
             GRANT ALL ON `{database}`.* TO '{user}'@'{host}';\n\
             GRANT ALL ON `{database}\\_%`.* TO '{user}'@'{host}';\n"
        )
    };
    format!(
        "CREATE DATABASE IF NOT EXISTS `{database}`;\n{}{}",
        account("127.0.0.1"),
        account("localhost"),
    )
}
