//! `aquifer m2c status`: asks a running ingester how it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use aquifer_m2c::Status;
use serde::de::DeserializeOwned;

use crate::cli::M2cStatusArgs;
use crate::config::Config;
use crate::failure::{self, Hinted};
use crate::output;
use crate::view::describe_m2c;

/// How long the ingester may take to answer: it looks at the files that wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Exit code where there was no answer.
const NO_ANSWER: u8 = 2;

/// Prints the status; the exit code says whether the host can be switched off.
pub(super) async fn run(config: Config, args: M2cStatusArgs) -> anyhow::Result<ExitCode> {
    let url = args.url.unwrap_or_else(|| url_of(config.m2c.listen));
    let status: Status = match ask(&url, "status").await {
        Ok(status) => status,
        Err(error) => return Ok(no_answer(&error)),
    };
    if args.json {
        output::json(&status)?;
    } else {
        for line in describe_m2c(&status).lines() {
            output::line(line)?;
        }
    }
    Ok(ExitCode::from(u8::from(!status.safe_to_switch_off)))
}

/// Says that there was no answer, and what to do.
pub(super) fn no_answer(error: &anyhow::Error) -> ExitCode {
    let hint = "does m2c run on this host? `--url` or `m2c.listen` say where it is asked";
    failure::report(&Hinted::new(format!("{error:#}"), hint).into());
    ExitCode::from(NO_ANSWER)
}

/// What the ingester at `url` answers on a page of its door.
pub(super) async fn ask<T: DeserializeOwned>(url: &str, page: &str) -> anyhow::Result<T> {
    let address = format!("{}/v1/{page}", url.trim_end_matches('/'));
    let no_answer = || format!("no {page} from {address}");
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .build()?;
    let sent = client.get(&address).send().await;
    let answer = sent
        .map_err(reqwest::Error::without_url)
        .with_context(no_answer)?;
    let answer = answer.error_for_status().with_context(no_answer)?;
    answer.json().await.with_context(no_answer)
}

/// Where something is reached on this host that listens at `listen`.
pub(super) fn url_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        let url = |listen: &str| url_of(listen.parse().unwrap());
        assert_eq!(url("0.0.0.0:9301"), "http://127.0.0.1:9301");
        assert_eq!(url("[::]:9301"), "http://[::1]:9301");
        assert_eq!(url("10.0.0.7:80"), "http://10.0.0.7:80");
    }
}
