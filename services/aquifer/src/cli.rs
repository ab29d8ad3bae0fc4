//! The command line: what can be asked, in clap's terms.

use std::path::PathBuf;

use aquifer_schemas::{EvidenceLevel, RunState, Site};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use uuid::Uuid;

/// From the detector's disk to the people who need the data; nothing is lost unsaid.
#[derive(Debug, Parser)]
#[command(name = "aquifer", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Configuration file [default: .aquifer/run/aquifer.toml, then /etc/aquifer/aquifer.toml]
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "AQUIFER_CONFIG"
    )]
    pub config: Option<PathBuf>,
    /// Set one configuration key, such as `m2c.site=LNGS`; wins over file and environment
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a private stack and every service on this machine; Ctrl-C stops them
    Up(UpArgs),
    /// Start everything with a simulated detector and watch runs arrive
    Demo(DemoArgs),
    /// Stop what `up` or `demo` started in a folder
    Down(RootArgs),
    /// Show a running private stack: endpoints, credentials, and who answers
    #[command(subcommand)]
    Stack(StackCommand),
    /// Bring the catalogue's schema up to date
    Migrate(JsonArg),
    /// Topics of the bus
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Sites whose DAQs may deliver runs
    #[command(subcommand)]
    Sites(SitesCommand),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Runs in the catalogue
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Tell the whole story of a run
    Explain(RunArg),
    /// Compare the DAQ's list, the buffer, the catalogue and the storage
    Audit(AuditArgs),
    /// The object storage
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Orders to free the DAQ's disk, and the way back
    #[command(subcommand)]
    Buffer(BufferCommand),
    /// Print what the words in lists mean: states, evidence, who closed a run
    Words,
    /// Messages that nobody could handle
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// A detector
    #[command(subcommand)]
    Daq(DaqCommand),
    /// MIDAS run files, of any encoding and in any state
    #[command(subcommand)]
    Midas(MidasCommand),
    /// What a run book of the past says, and which losses it shows
    Runbook(RunbookArgs),
    /// Run the ingester of one buffer, or ask it how it is
    M2c(M2cArgs),
    /// Run the publisher of the catalogue's announcements
    Relay(ServiceArgs),
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct JsonArg {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit code 1: lines had to be left out.")]
pub(crate) struct RunbookArgs {
    /// The run book: a table as text with commas
    pub file: PathBuf,
    /// Time zone of its local times
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub time_zone: String,
    /// Files above this size were not uploaded, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 5_400_000_000)]
    pub upload_limit: u64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServiceArgs {
    /// Stop when standard input is closed: ties the service to who started it
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct M2cArgs {
    #[command(flatten)]
    pub service: ServiceArgs,
    #[command(subcommand)]
    pub command: Option<M2cCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum M2cCommand {
    /// Ask a running ingester how it is, and whether its host can be switched off; needs
    /// neither catalogue nor bus. Exit code 0: it can; 1: it cannot; 2: no answer
    Status(M2cStatusArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct M2cStatusArgs {
    /// Where it listens [default: `m2c.listen` of the configuration]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RootArgs {
    /// Folder of the stack: data, logs, configuration
    #[arg(long, value_name = "DIR", default_value = ".aquifer/run")]
    pub root: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub root: RootArgs,
    /// Site of the DAQ whose buffer is watched
    #[arg(long, default_value = "LAB")]
    pub site: Site,
    /// Folder into which the DAQ writes [default: `buffer` in the stack's folder]
    #[arg(long, value_name = "DIR")]
    pub buffer: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub up: UpArgs,
    #[command(flatten)]
    pub detector: DetectorArgs,
    /// Print one line per change instead of the live view
    #[arg(long)]
    pub plain: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub detector: DetectorArgs,
    #[command(flatten)]
    pub service: ServiceArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DetectorArgs {
    /// Runs to take; without end if not given
    #[arg(long)]
    pub runs: Option<u64>,
    /// Runs per second at the most
    #[arg(long, default_value_t = 0.5, value_parser = rate)]
    pub rate: f64,
    /// Pictures per run
    #[arg(long, default_value_t = 3)]
    pub frames: u32,
    /// Side of a picture in pixels; a real camera's is 2304
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=8192))]
    pub pixels: u32,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Probability that the DAQ dies during a run
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    pub crash_probability: f64,
}

fn time_zone(text: &str) -> Result<String, String> {
    match TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("no such time zone is known here; one is Europe/Rome".to_owned()),
    }
}

fn letter_id(text: &str) -> Result<Uuid, String> {
    let id = text.parse();
    id.map_err(|_| "not an id as `aquifer dead-letters list` shows them".to_owned())
}

fn run_state() -> impl TypedValueParser<Value = RunState> {
    PossibleValuesParser::new(RunState::ALL.iter().map(|state| state.as_str()))
        .try_map(|word| word.parse())
}

fn rate(text: &str) -> Result<f64, String> {
    let in_range = |rate: &f64| (0.001..=1000.0).contains(rate);
    let rate = text.parse().ok().filter(in_range);
    rate.ok_or_else(|| "runs per second are a number from 0.001 to 1000".to_owned())
}

fn probability(text: &str) -> Result<f64, String> {
    let in_range = |probability: &f64| (0.0..=1.0).contains(probability);
    let probability = text.parse().ok().filter(in_range);
    probability.ok_or_else(|| "a probability is a number from 0 to 1".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum StackCommand {
    /// Print endpoints and credentials, and ask each server whether it answers
    Show {
        #[command(flatten)]
        root: RootArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopologyCommand {
    /// Create what is missing, alter what can be altered, refuse the rest
    Apply {
        /// Topics [default: those that this version needs]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SitesCommand {
    /// Register a site
    Add {
        /// Name, such as LNGS
        site: Site,
        /// Time zone of its DAQ's clock, such as Europe/Rome
        #[arg(long, default_value = "UTC", value_parser = time_zone)]
        time_zone: String,
        /// What it is
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Correct what is known of a registered site
    Set {
        /// Its name
        site: Site,
        /// Time zone of its DAQ's clock, such as Europe/Rome
        #[arg(long, value_parser = time_zone)]
        time_zone: Option<String>,
        /// What it is
        #[arg(long)]
        description: Option<String>,
    },
    /// List the sites
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether services can start with the configuration, without reaching anything
    Check {
        /// Which services [default: all of them]
        #[arg(value_enum, default_values_t = ServiceName::ALL, hide_default_value = true)]
        services: Vec<ServiceName>,
    },
    /// Print the configuration in force, without secrets
    Dump(JsonArg),
    /// Print the reference of every key
    Reference,
}

/// A service that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    /// The ingester
    M2c,
    /// The publisher of announcements
    Relay,
}

impl ServiceName {
    const ALL: [Self; 2] = [Self::M2c, Self::Relay];
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::M2c => "m2c",
            Self::Relay => "relay",
        })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, newest first
    List(RunsListArgs),
    /// Show one run with its files and copies
    Show(RunArg),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunsListArgs {
    /// Only runs of this site
    #[arg(long)]
    pub site: Option<Site>,
    /// Only runs in this state
    #[arg(long, value_parser = run_state())]
    pub state: Option<RunState>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 20)]
    pub limit: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArg {
    /// `SITE/NUMBER`, or a number at the default site; `.vN` for a later version
    pub run: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    /// Read every object back and digest it
    #[arg(long)]
    pub read_back: bool,
    /// Nothing may be in progress: what is not stored now is unaccounted
    #[arg(long)]
    pub strict: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// Find out what the endpoint really does, by requests that it must refuse
    Probe {
        /// Races of eight writers for one key, of each kind
        #[arg(long, default_value_t = 3)]
        races: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Drop what is left of uploads that nobody will finish; without `--yes` only list it
    AbortOrphans(AbortOrphansArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AbortOrphansArgs {
    /// Only uploads begun longer ago [default: `audit.upload-at-most-secs`]
    #[arg(long, value_name = "TIME", value_parser = positive_time)]
    pub older_than: Option<SignedDuration>,
    /// Also uploads for keys that hold an object. A server that broke off while it
    /// completed one may have made the object of these very parts
    #[arg(long)]
    pub beside_objects: bool,
    /// Drop them
    #[arg(long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// A time such as `24h` or `90min`.
fn positive_time(text: &str) -> Result<SignedDuration, String> {
    let time: SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    if time.is_negative() {
        return Err("a time cannot be negative".to_owned());
    }
    Ok(time)
}

#[derive(Debug, Subcommand)]
pub(crate) enum BufferCommand {
    /// Order that runs leave the buffer, on evidence taken now of the copies that stay
    PurgeOrder(PurgeOrderArgs),
    /// List orders, newest first
    Orders(OrdersArgs),
    /// Take the files of an order back from the buffer's trash
    Restore(RestoreArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PurgeOrderArgs {
    /// `SITE/NUMBER`, or numbers at the default site; `.vN` for a later version
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Why, for those who read the history
    #[arg(long, default_value = "ordered by hand")]
    pub reason: String,
    /// How the copies that stay are looked at
    #[arg(long, value_enum, default_value_t = EvidenceBy::ReadBack)]
    pub evidence: EvidenceBy,
    /// How old that look may be when the order is given and when it is carried out
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub evidence_max_age: String,
}

/// How a copy is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvidenceBy {
    /// Read it whole and digest it: evidence E4
    ReadBack,
    /// Ask its server for size and checksum: evidence E3
    Head,
}

impl EvidenceBy {
    /// The evidence that an order then asks for.
    pub(crate) fn required(self) -> EvidenceLevel {
        match self {
            Self::ReadBack => EvidenceLevel::E4,
            Self::Head => EvidenceLevel::E3,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OrdersArgs {
    /// Only orders about this run
    #[arg(long)]
    pub run: Option<String>,
    /// Only orders in this state
    #[arg(long)]
    pub state: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 20)]
    pub limit: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArgs {
    /// Its id, as listed
    pub order: String,
    /// Why, for those who read the history
    #[arg(long, default_value = "asked back by hand")]
    pub reason: String,
    /// How long to wait for the ingester to put the files back, in seconds
    #[arg(long, default_value_t = 30)]
    pub wait_secs: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List them
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send one to the topic that it came from, again, and take it off the list
    Replay {
        /// Its id, as listed
        #[arg(value_parser = letter_id)]
        id: Uuid,
    },
    /// Take one off the list: nothing is to be done about it
    Dismiss {
        /// Its id, as listed
        #[arg(value_parser = letter_id)]
        id: Uuid,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaqCommand {
    /// Take simulated runs into the configured buffer
    Simulate(SimulateArgs),
}

/// Exit codes of `aquifer midas`, the worst of all files.
const MIDAS_EXIT_CODES: &str = "Exit codes: 0 every file is intact, 1 a file is damaged, \
    2 a file cannot be read or holds no event";

#[derive(Debug, Subcommand)]
pub(crate) enum MidasCommand {
    /// Say whether files are whole, and where they are not
    #[command(after_help = MIDAS_EXIT_CODES)]
    Check {
        /// Run files: plain, gzip, lz4, bzip2 or zstd
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what is in files: events, banks, values of the ODB
    #[command(after_help = MIDAS_EXIT_CODES)]
    Show {
        /// Run files: plain, gzip, lz4, bzip2 or zstd
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Also show this value or directory of the ODB; may be given again
        #[arg(long, value_name = "PATH")]
        odb: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
