//! Where profiles come from: those of the program by name, those of an experiment from
//! their folder.

use std::path::{Path, PathBuf};

use aquifer_profile::shipped;
use aquifer_runtime::config::{ConfigError, Origin, ProfileText, Sources, load_with_origins};
use serde::Deserialize;

/// The texts of the profile that the configuration chooses; none if it chooses none.
pub(crate) fn chosen(sources: &Sources) -> Result<Vec<ProfileText>, ConfigError> {
    /// The one key that must be known before the others can be read.
    #[derive(Deserialize)]
    struct Choice {
        #[serde(default)]
        profile: String,
    }

    let (Choice { profile }, origins) = load_with_origins(sources)?;
    if profile.is_empty() {
        return Ok(Vec::new());
    }
    let origin = origins.of("profile");
    let beside = match &origin {
        Origin::File { path, .. } => path.parent(),
        _ => None,
    };
    let texts = named(&profile, beside.unwrap_or(Path::new("")));
    texts.map_err(|Missing { message, hint }| ConfigError::Value {
        key: "profile".to_owned(),
        origin,
        message,
        hint,
    })
}

/// Why there is no such profile.
pub(crate) struct Missing {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// The texts of the profile of the program that is called so, or of the one in the folder
/// at this path, which is relative to `beside`.
pub(crate) fn named(name: &str, beside: &Path) -> Result<Vec<ProfileText>, Missing> {
    if name.contains('/') {
        return in_folder(&beside.join(name));
    }
    let found = shipped().iter().find(|shipped| shipped.name == name);
    let shipped = found.ok_or_else(|| {
        let known: Vec<_> = shipped().iter().map(|shipped| shipped.name).collect();
        let known = known.join(", ");
        Missing {
            message: format!("no profile `{name}` comes with the program"),
            hint: Some(format!(
                "there are {known}; a folder is written with a `/`: ./{name}"
            )),
        }
    })?;
    let texts = shipped.files.iter().map(|file| ProfileText {
        path: PathBuf::from(shipped.name).join(file.name),
        text: file.text.to_owned(),
    });
    Ok(texts.collect())
}

/// The TOML files of a folder, by name.
pub(crate) fn in_folder(folder: &Path) -> Result<Vec<ProfileText>, Missing> {
    let failed = |path: &Path, error: &std::io::Error| Missing {
        message: format!("cannot read `{}`: {error}", path.display()),
        hint: None,
    };
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Missing {
            message: format!("`{}` has no TOML files", folder.display()),
            hint: Some("`aquifer profile init DIR` writes some to begin with".to_owned()),
        });
    }
    paths.sort();
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok(ProfileText { path, text }),
        Err(error) => Err(failed(&path, &error)),
    };
    paths.into_iter().map(read).collect()
}
