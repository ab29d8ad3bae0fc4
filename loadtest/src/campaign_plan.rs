//! What is asked of a campaign, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Arguments of `sustained`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SustainedArgs {
    /// Runs per second
    #[arg(long, default_value_t = 100.0, value_parser = positive)]
    pub(crate) rate: f64,
    /// For how long runs are taken
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    pub(crate) minutes: f64,
    /// Pictures of 64 x 64 pixels per run; nine make a file of some 100 kB
    #[arg(long, default_value_t = 9)]
    pub(crate) frames: u32,
    /// Seconds between two samples
    #[arg(long, default_value_t = 10)]
    pub(crate) sample_secs: u64,
    /// Objects that are read back and digested at the end
    #[arg(long, default_value_t = 1000)]
    pub(crate) read_back: u64,
    /// The Markdown report; printed if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Keep the stack's folder: data, logs, traces
    #[arg(long)]
    pub(crate) keep: bool,
}

impl SustainedArgs {
    /// Runs to take.
    pub(crate) fn runs(&self) -> u64 {
        (self.rate * self.minutes * 60.0).round() as u64
    }

    /// How long taking them should last.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    /// One run in so many is read back.
    pub(crate) fn sample_every(&self) -> u64 {
        (self.runs() / self.read_back.max(1)).max(1)
    }

    /// The command line that asks for this.
    pub(crate) fn command_line(&self) -> String {
        format!(
            "aquifer-loadtest sustained --rate {} --minutes {} --frames {} --sample-secs {} --read-back {}",
            self.rate, self.minutes, self.frames, self.sample_secs, self.read_back
        )
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("a positive number is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SustainedArgs,
    }

    fn parse(line: &[&str]) -> Result<SustainedArgs, clap::Error> {
        let words = ["sustained"].iter().chain(line);
        Line::try_parse_from(words).map(|line| line.args)
    }

    #[test]
    fn the_promise_is_the_default() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.runs(), 60_000);
        assert_eq!(args.duration(), Duration::from_mins(10));
        assert_eq!(args.sample_every(), 60);
    }

    #[test]
    fn no_rate_and_no_time_are_refused() {
        parse(&["--rate", "0"]).unwrap_err();
        parse(&["--minutes", "-1"]).unwrap_err();
        let short = parse(&["--rate", "1", "--minutes", "0.1", "--read-back", "0"]).unwrap();
        assert_eq!((short.runs(), short.sample_every()), (6, 6));
    }
}
