//! Finds the programs of the servers, which `make setup` installs.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::StackError;

/// Folders where programs of the system live; `sbin` is rarely on a user's `PATH`.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The programs of the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The Java virtual machine, 17 or newer.
    pub java: PathBuf,
    /// The folder with Kafka's jars and those that it needs.
    pub kafka_libs: PathBuf,
    /// An archive of Kafka's loaded classes, which halves the time of its start; used
    /// where it fits the jars and the virtual machine, ignored by Java where not.
    pub kafka_classes: Option<PathBuf>,
    /// SeaweedFS.
    pub weed: PathBuf,
    /// The MariaDB server.
    pub mariadbd: PathBuf,
    /// The script that makes a MariaDB data folder.
    pub mariadb_install_db: PathBuf,
}

impl Tools {
    /// The folder that `make setup` fills: `$AQUIFER_CACHE`, or `.aquifer/cache` in the
    /// repository.
    pub fn cache(repository: &Path) -> PathBuf {
        env::var_os("AQUIFER_CACHE")
            .filter(|value| !value.is_empty())
            .map_or_else(|| repository.join(".aquifer/cache"), PathBuf::from)
    }

    /// Looks for Kafka's jars and `weed` in `cache`, for Java in `JAVA_HOME` and on the
    /// `PATH`, for MariaDB on the `PATH` and in the system's folders.
    pub fn locate(cache: &Path) -> Result<Self, StackError> {
        // As the class archive knows it: Java compares paths as text.
        let cache = &fs::canonicalize(cache).unwrap_or_else(|_| cache.to_path_buf());
        let kafka_libs = cache.join("kafka/libs");
        if !holds_kafka(&kafka_libs) {
            return Err(StackError::Missing {
                what: "Kafka (a folder with kafka_2.13-*.jar)",
                looked: kafka_libs.display().to_string(),
            });
        }
        let kafka_classes = cache.join("kafka/kafka.jsa");
        let java_home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
        Ok(Self {
            java: first("Java", java_home.into_iter().chain(on_path("java")))?,
            kafka_libs,
            kafka_classes: kafka_classes.is_file().then_some(kafka_classes),
            weed: first("SeaweedFS (weed)", [cache.join("seaweedfs/bin/weed")])?,
            mariadbd: first("MariaDB (mariadbd)", on_path("mariadbd"))?,
            mariadb_install_db: first(
                "MariaDB (mariadb-install-db)",
                on_path("mariadb-install-db"),
            )?,
        })
    }
}

/// Whether a folder has Kafka's own jar in it.
fn holds_kafka(libs: &Path) -> bool {
    let is_kafka = |name: &OsStr| name.to_string_lossy().starts_with("kafka_2.13-");
    fs::read_dir(libs).is_ok_and(|jars| jars.flatten().any(|jar| is_kafka(&jar.file_name())))
}

/// The places where a program of the system may be.
fn on_path(program: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(SYSTEM_FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The first candidate that is a file.
fn first(
    what: &'static str,
    candidates: impl IntoIterator<Item = PathBuf>,
) -> Result<PathBuf, StackError> {
    let mut looked = Vec::new();
    for candidate in candidates {
        if candidate.is_file() {
            return Ok(candidate);
        }
        looked.push(candidate.display().to_string());
    }
    Err(StackError::Missing {
        what,
        looked: looked.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_cache_is_an_error_that_says_what_to_do() {
        let cache = tempfile::tempdir().unwrap();
        let message = Tools::locate(cache.path()).unwrap_err().to_string();
        assert!(message.contains("Kafka"), "{message}");
        assert!(message.contains("hint: run `make setup`"), "{message}");

        fs::create_dir_all(cache.path().join("kafka/libs")).unwrap();
        fs::write(cache.path().join("kafka/libs/kafka_2.13-4.3.1.jar"), "").unwrap();
        let message = Tools::locate(cache.path()).unwrap_err().to_string();
        assert!(
            message.contains("seaweedfs/bin/weed") || message.contains("Java"),
            "{message}"
        );
    }
}
