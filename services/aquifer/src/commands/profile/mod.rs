//! `aquifer profile`: what is peculiar to an experiment, written, checked, shown and made
//! known to the catalogue.

mod apply;
mod check;
mod show;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_profile::shipped;
use aquifer_runtime::config::{ProfileText, Sources};

pub(super) use apply::register;

use crate::cli::{Global, ProfileCommand};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;
use crate::profile::{Missing, in_folder, named};

/// Carries out what was asked. Only two commands read a configuration.
pub(super) fn run(global: &Global, command: ProfileCommand) -> anyhow::Result<ExitCode> {
    let configured = || Config::load(global.config.clone(), &global.overrides);
    match command {
        ProfileCommand::Init { folder, from } => init(&folder, &from),
        ProfileCommand::Check { profile, files } => check::run(&read(&profile)?, &files),
        ProfileCommand::Show {
            profile: Some(profile),
            json,
        } => show::run(&read(&profile)?, json),
        ProfileCommand::Show {
            profile: None,
            json,
        } => {
            let config = configured()?;
            if config.profile.is_empty() && config.experiment.name.is_empty() {
                return show::list(json);
            }
            show::run(&config, json)
        }
        ProfileCommand::Apply { update } => super::block_on(apply::run(configured()?, update)),
    }
}

/// The configuration that a profile alone makes.
pub(super) fn read(profile: &str) -> anyhow::Result<Config> {
    let texts = texts(profile).map_err(|Missing { message, hint }| {
        let hint = hint.unwrap_or_else(|| "`aquifer profile init DIR` writes one".to_owned());
        Hinted::usage(message, hint)
    })?;
    let sources = Sources {
        profile: texts,
        ..Sources::default()
    };
    Ok(Config::read(&sources)?)
}

/// A folder is meant where there is one, whatever it is called.
fn texts(profile: &str) -> Result<Vec<ProfileText>, Missing> {
    let folder = Path::new(profile);
    if folder.is_dir() {
        in_folder(folder)
    } else {
        named(profile, Path::new(""))
    }
}

fn init(folder: &Path, from: &str) -> anyhow::Result<ExitCode> {
    let found = shipped().iter().find(|shipped| shipped.name == from);
    let shipped = found.ok_or_else(|| {
        let known: Vec<_> = shipped().iter().map(|shipped| shipped.name).collect();
        let what = format!("no profile `{from}` comes with the program");
        Hinted::usage(what, format!("there are {}", known.join(", ")))
    })?;
    let failed = || folder.display().to_string();
    fs::create_dir_all(folder).with_context(failed)?;
    if in_folder(folder).is_ok() {
        let what = format!("`{}` has TOML files already", folder.display());
        return Err(Hinted::new(what, "name another folder").into());
    }
    for file in shipped.files {
        let path = folder.join(file.name);
        fs::write(&path, file.text).with_context(|| path.display().to_string())?;
        output::line(path.display().to_string())?;
    }
    let folder = folder.display();
    output::line(format!(
        "edit them; `aquifer profile check {folder} [FILE...]` says what they make of run files"
    ))?;
    Ok(ExitCode::SUCCESS)
}
