//! Files of runs: listed, fetched, verified, digested.

use std::path::PathBuf;

use aquifer_profile::Pattern;
use aquifer_schemas::Site;
use clap::Args;

use super::args::JsonArg;

/// How runs are named where several may be.
const RUNS: &str = "Runs are written LNGS/42, LNGS/42.v2 for a later version under a used \
    number, LNGS/42..57 for all from 42 to 57; without a site they are of the default site.";

const GET: &str = "Exit codes: 0 every file is there, and proven; 1 some are not, which are \
    named: the same command goes on where it was; 2 wrong usage";

const VERIFY: &str = "Exit codes: 0 everything is what the catalogue says; 1 something is \
    not, or could not be read; 2 wrong usage";

const CHECKSUM: &str = "Exit codes: 0 done; 1 a file cannot be read; 2 wrong usage";

#[derive(Debug, Clone, Args)]
#[command(after_help = GET, after_long_help = format!("{RUNS}\n\n{GET}"))]
pub(crate) struct GetArgs {
    /// Runs, such as LNGS/42 or 42..57
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Only files with such names; `*` and `?` stand for any characters
    #[arg(long, value_name = "GLOB")]
    pub file: Option<Pattern>,
    /// Products of this level instead of the run's own files: the newest version of each
    /// pass
    #[arg(long, value_name = "LEVEL")]
    pub product: Option<String>,
    /// Only products of this pass
    #[arg(long, requires = "product")]
    pub pass: Option<String>,
    /// Into this folder
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Into a folder for each run: SITE/NUMBER, SITE/NUMBER.vN
    #[arg(long)]
    pub folders: bool,
    /// Requests at a time
    #[arg(long, short, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// Decode what is stored compressed, and compare it with the file's own checksum
    #[arg(long)]
    pub decode: bool,
    /// Replace files of the same names that hold something else
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = VERIFY, after_long_help = format!("{RUNS}\n\n{VERIFY}"))]
pub(crate) struct VerifyArgs {
    /// Runs, whose copies in object storage are read back: their evidence becomes E4. Or
    /// local files, which are looked for in the catalogue by what is in them
    #[arg(required = true, value_name = "RUN|FILE")]
    pub what: Vec<String>,
    /// Copies read at a time
    #[arg(long, short, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = CHECKSUM)]
pub(crate) struct ChecksumArgs {
    /// Files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Of the bytes that compressed files (gzip, zstd, lz4, bzip2) decode to
    #[arg(long)]
    pub decoded: bool,
    /// MD5, too
    #[arg(long)]
    pub md5: bool,
    /// SHA-256, too
    #[arg(long)]
    pub sha256: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit codes: 0 listed; 1 nothing was found; 2 wrong usage", after_long_help = RUNS)]
pub(crate) struct FilesArgs {
    /// Runs, such as LNGS/42 or 42..57
    #[arg(required_unless_present = "name", value_name = "RUN")]
    pub runs: Vec<String>,
    /// Files with such names, of whatever run; `*` and `?` stand for any characters
    #[arg(long, value_name = "GLOB", conflicts_with = "runs")]
    pub name: Option<Pattern>,
    /// Only of this site
    #[arg(long, requires = "name")]
    pub site: Option<Site>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
