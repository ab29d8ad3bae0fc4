//! SeaweedFS: master, volume server, filer and S3 gateway in one process, `weed mini`.
//!
//! It is told every port that it opens, because those that it chooses itself are the same
//! for every instance on a machine; and not to report statistics to its makers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::plan::{Plan, secret_word};
use crate::ports::Ports;
use crate::{Server, StackError, TokenIssuer, wire};

/// The command that runs the server.
pub(crate) fn serve(plan: &Plan) -> Result<Command, StackError> {
    let s3 = &plan.endpoints.s3;
    let identities = serde_json::json!({
        "identities": [{
            "name": "aquifer",
            "credentials": [{ "accessKey": s3.access_key, "secretKey": s3.secret_key }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]
    });
    let config = plan
        .folder
        .write_etc("seaweedfs-s3.json", &identities.to_string())?;
    let issuer = plan.options.token_issuer.as_ref();
    let tokens = issuer
        .map(|issuer| {
            let key = secret_word()?;
            let config = token_config(issuer, &key).to_string();
            plan.folder.write_etc("seaweedfs-iam.json", &config)
        })
        .transpose()?;
    // Left over from a server that was killed on these ports.
    remove_sockets(&plan.ports);

    let data = plan.folder.data(Server::SeaweedFs);
    let mut command = plan.command(&plan.options.tools.weed);
    command
        .args(["-logtostderr=true", "mini"])
        .arg(format!("-dir={}", data.display()))
        .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
        .arg(format!("-s3.config={}", config.display()))
        .arg(format!("-bucket={}", s3.bucket))
        // Its default follows the size of the disk: here a volume is the same everywhere.
        .arg("-master.volumeSizeLimitMB=1024")
        .args(["-master.telemetry=false", "-admin.ui=false"])
        .args(["-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    if let Some(tokens) = tokens {
        command.arg(format!("-s3.iam.config={}", tokens.display()));
    }
    for (part, http, grpc) in plan.ports.weed() {
        command
            .arg(format!("-{part}.port={http}"))
            .arg(format!("-{part}.port.grpc={grpc}"));
    }
    for part in ["s3", "filer"] {
        let socket = plan.folder.sockets().join(format!("{part}.sock"));
        command.arg(format!("-{part}.localSocket={}", socket.display()));
    }
    Ok(command)
}

/// What its token service gives keys for: tokens of the issuer, for everything. `key`
/// signs the keys' own tokens; those of a server that ended are no longer good.
fn token_config(issuer: &TokenIssuer, key: &str) -> serde_json::Value {
    serde_json::json!({
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "aquifer-stack",
            // Bytes, which Go writes as base64: any letters and digits are some.
            "signingKey": key,
        },
        "providers": [{
            "name": "issuer",
            "type": "oidc",
            "enabled": true,
            "config": {
                "issuer": issuer.url,
                "clientId": issuer.audience,
                "jwksUri": format!("{}/jwks", issuer.url),
                "scopes": ["openid"],
            },
        }],
        "policy": { "defaultEffect": "Deny" },
        "roles": [{
            "roleName": "aquifer",
            "roleArn": TokenIssuer::ROLE,
            "trustPolicy": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": { "Federated": "issuer" },
                    "Action": ["sts:AssumeRoleWithWebIdentity"],
                }],
            },
            "attachedPolicies": ["everything"],
        }],
        "policies": [{
            "name": "everything",
            "document": {
                "Version": "2012-10-17",
                "Statement": [
                    { "Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"] },
                    { "Effect": "Allow", "Action": ["sts:ValidateSession"], "Resource": ["*"] },
                ],
            },
        }],
    })
}

/// Whether S3 answers as S3 does to a stranger, the bucket has been made, and the volumes
/// are there: a server that comes back answers before it can read what it stored.
pub(crate) async fn look(plan: &Plan) -> Result<(), String> {
    let volumes = "\"DataNodes\":[{";
    wire::http(plan.ports.master(), "/dir/status", 200, volumes).await?;
    look_at_s3(plan.ports.s3()).await?;
    let bucket = format!("/buckets/{}/", plan.endpoints.s3.bucket);
    wire::http(plan.ports.filer(), &bucket, 200, "").await
}

/// The S3 gateway: refuses those who bring no credentials.
pub(crate) async fn look_at_s3(port: u16) -> Result<(), String> {
    wire::http(port, "/", 403, "<Code>AccessDenied</Code>").await
}

/// The sockets that it puts into `/tmp` wherever it is told to live.
pub(crate) fn sockets(ports: &Ports) -> impl Iterator<Item = PathBuf> {
    let socket = |(part, _, grpc)| format!("/tmp/seaweedfs-{part}-grpc-{grpc}.sock").into();
    ports.weed().into_iter().map(socket)
}

/// Removes its sockets in `/tmp`.
pub(crate) fn remove_sockets(ports: &Ports) {
    for socket in sockets(ports) {
        // Most are removed by the server itself; one left behind does no harm.
        let _ = fs::remove_file(socket);
    }
}
