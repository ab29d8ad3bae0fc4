//! The command line about itself: completions, manual pages, the page of reference. All
//! of it follows from what is parsed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::cli::{Cli, CompletionsArgs, ManArgs, ShellName};
use crate::output;

/// The program's name.
const NAME: &str = "aquifer";

/// Prints completions.
pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let shell = match args.shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    // Into memory first: the generator panics where its reader goes early.
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), NAME, &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes manual pages.
pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let name = || args.dir.display().to_string();
    std::fs::create_dir_all(&args.dir).with_context(name)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).with_context(name)?;
    let pages = std::fs::read_dir(&args.dir).with_context(name)?.count();
    output::line(format!("{pages} pages are in `{}`", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the page of every command.
pub(super) fn reference() -> anyhow::Result<ExitCode> {
    output::line(page()?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn page() -> Result<String, std::fmt::Error> {
    let mut cli = Cli::command();
    cli.build();
    let mut page = String::from(
        "# Commands\n\nWhat `aquifer` can be asked; `aquifer commands` prints this page, `aquifer man DIR` \
         writes it as manual pages, and `--help` behind any command says the same.\n\n\
         Exit codes, where a command says nothing else: 0 done, 1 failed or found something, \
         2 wrong usage.\n\n## Everywhere\n\n",
    );
    let everywhere = cli.get_arguments().filter(|arg| arg.is_global_set());
    table(&mut page, everywhere)?;
    section(&mut page, &cli, &[NAME])?;
    Ok(page)
}

/// The commands below one, each followed by those below it.
fn section(page: &mut String, command: &Command, path: &[&str]) -> std::fmt::Result {
    let below = command.get_subcommands();
    for command in below.filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        let path = [path, &[command.get_name()]].concat();
        write!(page, "\n## {}\n\n", path.join(" "))?;
        let about = command.get_long_about().or(command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        writeln!(page, "{}.", about.trim_end_matches('.'))?;
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage:").trim();
        let usage = usage.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        write!(page, "\n```text\n{usage}\n```\n")?;
        let own = command.get_arguments().filter(|arg| !arg.is_global_set());
        let own: Vec<_> = own.filter(|arg| is_shown(arg)).collect();
        if !own.is_empty() {
            page.push('\n');
            table(page, own.into_iter())?;
        }
        let after = command.get_after_long_help().or(command.get_after_help());
        if let Some(after) = after {
            write!(page, "\n{}\n", after.to_string().trim_end())?;
        }
        section(page, command, &path)?;
    }
    Ok(())
}

fn is_shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn table<'a>(page: &mut String, args: impl Iterator<Item = &'a Arg>) -> std::fmt::Result {
    page.push_str("| argument | means |\n|---|---|\n");
    for arg in args {
        let mut means = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<_> = arg
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let flag = !arg.get_action().takes_values();
        if !values.is_empty() && !flag {
            write!(means, "; one of {}", values.join(", "))?;
        }
        let defaults = arg.get_default_values().iter();
        let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
        if !defaults.is_empty() && !flag && !arg.is_hide_default_value_set() {
            write!(means, " (`{}`)", defaults.join(" "))?;
        }
        let short = arg.get_short().map(|short| format!("-{short}, "));
        let name = format!("{}{arg}", short.unwrap_or_default());
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        writeln!(page, "| `{}` | {} |", cell(&name), cell(&means))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_can_be_run_has_a_section() {
        let page = page().unwrap();
        for command in [
            "get",
            "runs list",
            "on run-stored",
            "catalogue rebuild",
            "man",
        ] {
            assert!(
                page.contains(&format!("\n## aquifer {command}\n")),
                "{command}"
            );
        }
        assert!(!page.contains("until-stdin-closes"), "it is hidden");
    }

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }
}
