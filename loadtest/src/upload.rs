//! Uploads side by side: the same files to the same S3 server by our storage element,
//! s5cmd and rclone, each as a child process whose CPU time the kernel counts.
//!
//! On one machine the server takes most of the processor, so that MB/s compare little
//! more than its moods: what compares is the client's CPU time per GB.

use std::fs::{File, create_dir_all, remove_dir_all};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use aquifer_stack::{Endpoints, S3Endpoint, Stack, StackOptions, Tools};
use aquifer_storage::{
    ObjectMeta, S3Config, S3Element, SourceFile, StorageElement as _, StoreOptions,
};
use clap::Args;
use jiff::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::upload_report::{Row, Trial, markdown};

/// Arguments of `upload`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UploadArgs {
    /// Files
    #[arg(long, default_value_t = 4)]
    pub(crate) files: u32,
    /// Size of each in MB
    #[arg(long, default_value_t = 1000)]
    pub(crate) file_mb: u64,
    /// How often each client uploads them all, in turns
    #[arg(long, default_value_t = 1)]
    pub(crate) rounds: u32,
    /// The Markdown report; printed if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// Arguments of `upload-client`: one client in a process of its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// URL of the server
    #[arg(long)]
    endpoint: String,
    /// Bucket, which is made
    #[arg(long)]
    bucket: String,
    /// Size of a part in MiB
    #[arg(long)]
    part_size_mib: u64,
    /// Sign payloads
    #[arg(long)]
    signed: bool,
    /// Folder whose files are stored
    folder: PathBuf,
}

/// A client and how it is called.
struct Client {
    name: &'static str,
    checks: &'static str,
    command: fn(&Bench, &str) -> anyhow::Result<Command>,
}

/// What all clients get.
struct Bench {
    s3: S3Endpoint,
    tools: PathBuf,
    folder: PathBuf,
}

const CLIENTS: [Client; 5] = [
    Client {
        name: "aquifer, 16 MiB parts",
        checks: "crc64nvme of each part and of the whole, adler32, crc32c",
        command: |bench, bucket| bench.ours(bucket, &["--part-size-mib", "16"]),
    },
    Client {
        name: "aquifer, 64 MiB parts",
        checks: "the same",
        command: |bench, bucket| bench.ours(bucket, &["--part-size-mib", "64"]),
    },
    Client {
        name: "aquifer, payloads signed",
        checks: "the same, and SHA-256 of each part",
        command: |bench, bucket| bench.ours(bucket, &["--part-size-mib", "16", "--signed"]),
    },
    Client {
        name: "s5cmd, as it comes",
        checks: "none end to end",
        command: Bench::s5cmd,
    },
    Client {
        name: "rclone, as it comes",
        checks: "MD5 kept as metadata",
        command: Bench::rclone,
    },
];

/// Measures all clients and writes the report.
pub(crate) async fn upload(args: &UploadArgs) -> anyhow::Result<bool> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("no folder to work in")?;
    let root = target
        .join("loadtest")
        .join(format!("upload-{}", std::process::id()));
    let folder = root.join("files");
    create_dir_all(&folder)?;
    let measured = measure(args, &root, &folder).await;
    remove_dir_all(&root).with_context(|| root.display().to_string())?;
    let report = markdown(&measured?);
    match &args.report {
        Some(file) => {
            std::fs::write(file, report).with_context(|| file.display().to_string())?;
        }
        None => writeln!(std::io::stdout(), "{report}")?,
    }
    Ok(true)
}

async fn measure(args: &UploadArgs, root: &Path, folder: &Path) -> anyhow::Result<Trial> {
    let (began, load_before) = (Timestamp::now(), load()?);
    for number in 0..args.files {
        random_file(
            &folder.join(format!("{number}.bin")),
            args.file_mb * 1_000_000,
        )?;
    }
    let cache = Tools::cache(Path::new("."));
    let bytes = u64::from(args.files) * args.file_mb * 1_000_000;
    let mut rows = Vec::new();
    for round in 1..=args.rounds {
        for client in &CLIENTS {
            // A server of its own for each: what the one before stored would take disk
            // and time from the next.
            let options = StackOptions {
                ephemeral: true,
                ..StackOptions::new(root.join("stack"), Tools::locate(&cache)?)
            };
            let stack = Stack::start(options, &mut |_| {}).await?;
            let measured = one(client, stack.endpoints(), &cache, folder, bytes).await;
            stack.stop().await?;
            let row = measured.with_context(|| client.name)?;
            writeln!(std::io::stderr(), "round {round}: {row:?}")?;
            rows.push(row);
        }
    }
    Ok(Trial {
        began,
        files: args.files,
        file_mb: args.file_mb,
        rounds: args.rounds,
        cores: std::thread::available_parallelism()?.get(),
        load: (load_before, load()?),
        rows,
    })
}

async fn one(
    client: &Client,
    endpoints: &Endpoints,
    cache: &Path,
    folder: &Path,
    bytes: u64,
) -> anyhow::Result<Row> {
    let bench = Bench {
        s3: endpoints.s3.clone(),
        tools: cache.join("bench"),
        folder: folder.to_owned(),
    };
    let bucket = endpoints.s3.bucket.clone();
    let mut command = (client.command)(&bench, &bucket)?;
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let (before, began) = (children_cpu()?, Instant::now());
    let status = command.status().with_context(|| client.name)?;
    let (took, cpu) = (began.elapsed(), children_cpu()? - before);
    ensure!(status.success(), "it ended with {status}");
    let stored = bench.stored(&bucket).await?;
    ensure!(stored == bytes, "{stored} bytes stored, not {bytes}");
    let gigabytes = bytes as f64 / 1e9;
    Ok(Row {
        client: client.name,
        checks: client.checks,
        cpu_secs_per_gb: cpu / gigabytes,
        mb_per_sec: gigabytes * 1000.0 / took.as_secs_f64(),
    })
}

impl Bench {
    fn config(&self, bucket: &str) -> S3Config {
        S3Config {
            endpoint: self.s3.endpoint.clone(),
            region: self.s3.region.clone(),
            bucket: bucket.to_owned(),
            access_key: self.s3.access_key.clone().into(),
            secret_key: self.s3.secret_key.clone().into(),
            ..S3Config::default()
        }
    }

    /// Bytes of all objects in the bucket.
    async fn stored(&self, bucket: &str) -> anyhow::Result<u64> {
        use futures::TryStreamExt as _;

        let element = S3Element::new(self.config(bucket))?;
        let pages: Vec<_> = element.list("").try_collect().await?;
        Ok(pages.iter().flatten().map(|object| object.size).sum())
    }

    /// A client with the keys in its environment.
    fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("AWS_ACCESS_KEY_ID", &self.s3.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.s3.secret_key)
            .env("AWS_REGION", &self.s3.region)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("RCLONE_CONFIG", "/dev/null");
        command
    }

    /// A program that `tools/setup --bench-tools` installed.
    fn tool(&self, name: &str) -> anyhow::Result<Command> {
        let program = self.tools.join(name);
        ensure!(
            program.is_file(),
            "`{}` is missing; hint: tools/setup --bench-tools",
            program.display()
        );
        Ok(self.client(&program))
    }

    fn ours(&self, bucket: &str, more: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.client(&std::env::current_exe()?);
        command
            .args(["upload-client", "--endpoint", &self.s3.endpoint])
            .args(["--bucket", bucket])
            .args(more)
            .arg(&self.folder);
        Ok(command)
    }

    fn s5cmd(&self, bucket: &str) -> anyhow::Result<Command> {
        let mut command = self.tool("s5cmd/bin/s5cmd")?;
        command
            .args(["--endpoint-url", &self.s3.endpoint, "--log", "error", "cp"])
            .arg(format!("{}/", self.folder.display()))
            .arg(format!("s3://{bucket}/"));
        Ok(command)
    }

    fn rclone(&self, bucket: &str) -> anyhow::Result<Command> {
        let mut command = self.tool("bin/rclone")?;
        let remote = format!(
            ":s3,provider=SeaweedFS,env_auth,endpoint=\"{}\",region={}:{bucket}",
            self.s3.endpoint, self.s3.region
        );
        command.arg("copy").arg(&self.folder).arg(remote).args([
            "--ignore-times",
            "--stats=0",
            "--s3-no-check-bucket",
        ]);
        Ok(command)
    }
}

/// Stores every file of a folder: what m2c does with a run, without its rows.
pub(crate) async fn client(args: &ClientArgs) -> anyhow::Result<bool> {
    use aquifer_storage::UnsignedPayload::{Always, Never};

    let key = |name: &str| std::env::var(name).with_context(|| name.to_owned());
    let element = S3Element::new(S3Config {
        endpoint: args.endpoint.clone(),
        bucket: args.bucket.clone(),
        access_key: key("AWS_ACCESS_KEY_ID")?.into(),
        secret_key: key("AWS_SECRET_ACCESS_KEY")?.into(),
        part_size_mib: args.part_size_mib,
        unsigned_payload: if args.signed { Never } else { Always },
        ..S3Config::default()
    })?;
    element.ensure_location().await?;
    let found = element.probe().await?;
    ensure!(found.enforces_checksums(), "{found:?}");
    for entry in std::fs::read_dir(&args.folder)? {
        let entry = entry?;
        let source = SourceFile::open(&entry.path()).await?;
        let key = entry.file_name().to_string_lossy().parse()?;
        let (meta, options) = (ObjectMeta::new(), StoreOptions::default());
        element.store_file(&source, &key, &meta, options).await?;
    }
    Ok(true)
}

/// User and system time of all children that have ended, in seconds.
fn children_cpu() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}

/// Processes that wanted a core, over the last minute.
fn load() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let first = text.split(' ').next().unwrap_or_default();
    first
        .parse()
        .with_context(|| format!("/proc/loadavg: {text}"))
}

/// Bytes that cannot be compressed.
fn random_file(path: &Path, size: u64) -> anyhow::Result<()> {
    let mut source = File::open("/dev/urandom")?.take(size);
    std::io::copy(&mut source, &mut File::create_new(path)?)
        .with_context(|| path.display().to_string())?;
    Ok(())
}
