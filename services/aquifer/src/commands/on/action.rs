//! One attempt: a command that is run or a webhook that is called, and how that ended.

use std::collections::VecDeque;
use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use aquifer_runtime::https::Https;
use aquifer_schemas::redact::redact_text;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::facts::Facts;
use crate::cli::RunStoredArgs;
use crate::failure::Hinted;

/// Bytes of output that are kept: its end.
const TAIL: usize = 4000;

/// The exit code of what may succeed later (`EX_TEMPFAIL` of sysexits.h).
const EX_TEMPFAIL: i32 = 75;

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Exec(String),
    Webhook(reqwest::Url, Box<Https>),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub ended: Ended,
    /// What it left to read.
    pub said: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    /// It may succeed later, however often it is tried.
    Outage(String),
    /// It failed, which may be its own fault.
    Failed(String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec(command) => f.write_str(command),
            Self::Webhook(url, _) => write!(f, "POST {url}"),
        }
    }
}

impl Action {
    /// What the command line asks for.
    pub(super) fn new(args: &RunStoredArgs) -> anyhow::Result<Self> {
        let Some(url) = &args.webhook else {
            return Ok(Self::Exec(args.exec.clone().unwrap_or_default()));
        };
        let url: reqwest::Url = url.parse().map_err(|error| {
            Hinted::usage(
                format!("`{url}` is not a URL: {error}"),
                "write https://host/path",
            )
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            let what = format!(
                "webhooks are called by http or https, not by {}",
                url.scheme()
            );
            let hint = "`--exec 'curl -fsS --json @- URL'` sends the same, whatever curl can reach";
            return Err(Hinted::usage(what, hint).into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            let what = "the URL of a webhook is shown to everybody: no user, no password in it";
            let hint = "`--exec 'curl -fsS --json @- --netrc URL'` knows them from a file";
            return Err(Hinted::usage(what, hint).into());
        }
        let client = Https::new(args.ca_file.as_deref());
        let hint = "`--ca-file` names PEM certificates that are trusted beside the system's";
        let client = client.map_err(|error| Hinted::usage(error, hint))?;
        Ok(Self::Webhook(url, Box::new(client)))
    }

    /// Tries once.
    pub(super) async fn attempt(&self, facts: &Facts, timeout: Duration) -> Attempt {
        let tried = match self {
            Self::Exec(command) => exec(command, facts, timeout).await,
            Self::Webhook(url, client) => call(client, url, facts, timeout).await,
        };
        let attempt = tried.unwrap_or_else(|error| Attempt {
            ended: Ended::Failed(format!("{error:#}")),
            said: String::new(),
        });
        Attempt {
            said: redact_text(&attempt.said).0,
            ..attempt
        }
    }
}

/// Runs a command to its end; everything it started is ended with it.
async fn exec(command: &str, facts: &Facts, timeout: Duration) -> anyhow::Result<Attempt> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .envs(facts.variables())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start `sh`")?;
    let group = Group(child.id());
    let input = serde_json::to_vec(facts)?;
    let mut tail = Tail::default();
    let ended = tokio::time::timeout(timeout, live(&mut child, input, &mut tail)).await;
    drop(group);
    let said = tail.text();
    let ended = match ended {
        Ok(status) => judge(status?),
        Err(_) => Ended::Failed(format!("ended after {timeout:?}: it took too long")),
    };
    Ok(Attempt { ended, said })
}

/// Processes that end when this is dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Mostly they have ended already.
            let _ = killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

async fn live(child: &mut Child, input: Vec<u8>, tail: &mut Tail) -> std::io::Result<ExitStatus> {
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // Who does not read its input has what it needs.
            let _ = stdin.write_all(&input).await;
        }
    };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let listen = hear(out, err, tail);
    let ((), (), status) = tokio::join!(feed, listen, child.wait());
    status
}

/// Reads both outputs to their ends.
async fn hear(
    mut out: Option<impl AsyncRead + Unpin>,
    mut err: Option<impl AsyncRead + Unpin>,
    tail: &mut Tail,
) {
    let (mut of_out, mut of_err) = ([0; 4096], [0; 4096]);
    while out.is_some() || err.is_some() {
        tokio::select! {
            read = some(out.as_mut(), &mut of_out) => match read {
                0 => out = None,
                count => tail.add(&of_out[..count]),
            },
            read = some(err.as_mut(), &mut of_err) => match read {
                0 => err = None,
                count => tail.add(&of_err[..count]),
            },
        }
    }
}

/// How many bytes came; 0 at the end. Never, if there is nothing to read.
async fn some(from: Option<&mut (impl AsyncRead + Unpin)>, buffer: &mut [u8]) -> usize {
    match from {
        Some(from) => from.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

fn judge(status: ExitStatus) -> Ended {
    match status.code() {
        Some(0) => Ended::Done,
        Some(EX_TEMPFAIL) => Ended::Outage("exit code 75: it may succeed later".to_owned()),
        _ => Ended::Failed(status.to_string()),
    }
}

/// The end of what was said.
#[derive(Debug, Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let over = self.0.len().saturating_sub(TAIL);
        self.0.drain(..over);
    }

    fn text(mut self) -> String {
        String::from_utf8_lossy(self.0.make_contiguous()).into_owned()
    }
}

/// Posts the facts. Both the answer and its text must come in time.
async fn call(
    client: &Https,
    url: &reqwest::Url,
    facts: &Facts,
    timeout: Duration,
) -> anyhow::Result<Attempt> {
    let mut request = http::Request::post(url.as_str()).header("content-type", "application/json");
    if let Some(trace) = &facts.traceparent {
        request = request.header("traceparent", trace);
    }
    let request = request.body(Full::from(serde_json::to_vec(facts)?))?;
    let mut tail = Tail::default();
    let answered = tokio::time::timeout(timeout, ask(client, request, &mut tail)).await;
    let ended = match answered {
        Ok(Ok(status)) if status.is_success() => Ended::Done,
        Ok(Ok(status)) if matches!(status.as_u16(), 408 | 429 | 502..=504) => {
            Ended::Outage(format!("it answered {status}"))
        }
        Ok(Ok(status)) => Ended::Failed(format!("it answered {status}")),
        Ok(Err(why)) => Ended::Outage(format!("no answer: {why}")),
        Err(_) => Ended::Outage(format!("no answer within {timeout:?}")),
    };
    let said = tail.text();
    Ok(Attempt { ended, said })
}

async fn ask(
    client: &Https,
    request: http::Request<Full<Bytes>>,
    tail: &mut Tail,
) -> Result<http::StatusCode, String> {
    let mut answer = client.send(request).await?;
    while let Some(Ok(frame)) = answer.frame().await {
        if let Some(text) = frame.data_ref() {
            tail.add(text);
        }
    }
    Ok(answer.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            event: "run-stored",
            hook: "test".to_owned(),
            attempt: 2,
            run_id: "LNGS/42".to_owned(),
            site: "LNGS".parse().unwrap(),
            run: 42,
            version: 1,
            run_type: None,
            started_at: None,
            ended_at: None,
            stored_at: None,
            closed_by: None,
            endpoint: "http://s3".to_owned(),
            manifest: None,
            traceparent: None,
            files: Vec::new(),
        }
    }

    async fn tried(command: &str) -> Attempt {
        let action = Action::Exec(command.to_owned());
        action.attempt(&facts(), Duration::from_secs(20)).await
    }

    #[tokio::test]
    async fn a_command_finds_the_run_in_its_environment_and_its_input() {
        let attempt =
            tried("echo $AQUIFER_RUN_ID $AQUIFER_ATTEMPT; grep -o '\"run\":42' >&2").await;
        assert_eq!(attempt.ended, Ended::Done);
        assert!(attempt.said.contains("LNGS/42 2\n"), "{attempt:?}");
        assert!(attempt.said.contains("\"run\":42"), "{attempt:?}");
        // Its input need not be read.
        assert_eq!(tried("true").await.ended, Ended::Done);
    }

    #[tokio::test]
    async fn how_it_ended_is_told_apart_and_its_last_words_are_kept() {
        let failed = tried("seq 100000; echo the end >&2; exit 3").await;
        assert_eq!(failed.ended, Ended::Failed("exit status: 3".to_owned()));
        assert!(failed.said.len() <= TAIL && failed.said.contains("100000"));
        assert!(matches!(tried("exit 75").await.ended, Ended::Outage(_)));
        assert!(matches!(tried("kill -9 $$").await.ended, Ended::Failed(_)));
        let secret = tried("echo password: hunter2").await;
        assert!(!secret.said.contains("hunter2"), "{secret:?}");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let action = Action::Exec("sleep 600 & echo $!; wait".to_owned());
        let attempt = action.attempt(&facts(), Duration::from_millis(500)).await;
        assert!(matches!(&attempt.ended, Ended::Failed(why) if why.contains("too long")));
        let pid = Pid::from_raw(attempt.said.trim().parse().unwrap());
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        // Nobody of this process may wait for it: it is gone, or nobody's.
        while nix::sys::signal::kill(pid, None).is_ok() {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.contains(") Z ") {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{stat}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_webhook_that_cannot_be_reached_is_an_outage() {
        let action = Action::Webhook(
            "http://127.0.0.1:1/secret/path".parse().unwrap(),
            Box::new(Https::new(None).unwrap()),
        );
        let attempt = action.attempt(&facts(), Duration::from_secs(5)).await;
        let Ended::Outage(why) = attempt.ended else {
            panic!("{attempt:?}");
        };
        assert!(!why.contains("secret"), "{why}");
    }
}
