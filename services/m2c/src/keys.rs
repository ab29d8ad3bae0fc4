//! Object keys: the same file always has the same key, so that a retry can only find
//! what it wrote before.
//!
//! `<prefix>/<site>/<run>/v<version>/<file>` for files, and
//! `<prefix>/<site>/<run>/v<version>/manifest.r<n>.json` for manifests. Run numbers
//! have eight digits or more so that listings are in order.

use aquifer_schemas::{FileName, RunId, RunNumber, RunVersion, Site};
use aquifer_storage::{KeyError, ObjectKey};

/// Builds keys under one prefix.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys under `prefix` (no slash at its ends; may be empty).
    pub fn under(prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        Self { prefix }
    }

    /// Key of a file of a run.
    pub fn file(&self, run: &RunId, name: &FileName) -> Result<ObjectKey, KeyError> {
        format!("{}{name}", self.folder(run)).parse()
    }

    /// Key of the `n`-th manifest of a run.
    pub fn manifest(&self, run: &RunId, n: u32) -> Result<ObjectKey, KeyError> {
        format!("{}manifest.r{n}.json", self.folder(run)).parse()
    }

    /// The run whose manifest has a key of these, which of its manifests it is, and the
    /// generation of its writer, 0 where writers share their keys.
    pub fn manifest_of(&self, key: &str) -> Option<(RunId, u32, u64)> {
        let (folder, name) = key.rsplit_once('/')?;
        let (n, writer) = name.strip_prefix("manifest.r")?.split_once(".json")?;
        let n = n.parse().ok()?;
        let generation = match writer {
            "" => 0,
            writer => writer.strip_prefix(".g")?.parse().ok()?,
        };
        let (_, version) = folder.rsplit_once("/v")?;
        let (site, number) = self.run_of(key)?;
        let run = RunId {
            site,
            number,
            version: version.parse().ok()?,
        };
        // One run has one way to write its keys.
        let own = self.manifest(&run, n).and_then(|own| match generation {
            0 => Ok(own),
            generation => own.with_generation(generation),
        });
        let same = own.is_ok_and(|own| own.as_str() == key);
        same.then_some((run, n, generation))
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The run that a key of these belongs to.
    pub fn run_of(&self, key: &str) -> Option<(Site, RunNumber)> {
        let mut parts = key.strip_prefix(&self.prefix)?.split('/');
        let site = parts.next()?.parse().ok()?;
        let digits = parts.next()?;
        let number: RunNumber = digits.parse().ok()?;
        let version = parts.next()?.strip_prefix('v')?;
        let names: Vec<_> = parts.collect();
        let has_name = !names.is_empty() && names.iter().all(|name| !name.is_empty());
        // One number has one way to write it.
        let canonical = format!("{number:08}") == digits;
        let whole = canonical && version.parse::<RunVersion>().is_ok() && has_name;
        whole.then_some((site, number))
    }

    /// What the keys of all versions of a run number begin with.
    pub fn folder_of(&self, site: &Site, number: RunNumber) -> String {
        format!("{}{site}/{number:08}/", self.prefix)
    }

    fn folder(&self, run: &RunId) -> String {
        format!("{}v{}/", self.folder_of(&run.site, run.number), run.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order_and_apart() {
        let keys = Keys::under("/raw/");
        let run: RunId = "LNGS/42.v2".parse().unwrap();
        let file = keys.file(&run, &"run00042.mid".parse().unwrap()).unwrap();
        assert_eq!(file.to_string(), "raw/LNGS/00000042/v2/run00042.mid");
        let manifest = keys.manifest(&run, 1).unwrap();
        assert_eq!(
            manifest.to_string(),
            "raw/LNGS/00000042/v2/manifest.r1.json"
        );
        let found = keys.manifest_of(manifest.as_str());
        assert_eq!(found, Some((run.clone(), 1, 0)));
        let own = manifest.with_generation(17).unwrap();
        let found = keys.manifest_of(own.as_str());
        assert_eq!(found, Some((run.clone(), 1, 17)));
        for key in [
            file.as_str(),
            "raw/LNGS/42/v2/manifest.r1.json",
            "raw/LNGS/00000042/v2/manifest.r01.json",
            "raw/LNGS/00000042/v2/manifest.r1.json.g",
            "raw/LNGS/00000042/v2/manifest.r1.json.g0",
            "raw/LNGS/00000042/v2/manifest.r1.json.bak",
            "raw/LNGS/00000042/v2/part/manifest.r1.json",
            "other/LNGS/00000042/v2/manifest.r1.json",
        ] {
            assert_eq!(keys.manifest_of(key), None, "{key}");
        }
        let found = keys.run_of(file.as_str());
        assert_eq!(found, Some((run.site.clone(), 42)));
        let nested = keys.file(&run, &"run42/part_0.bin".parse().unwrap());
        let found = keys.run_of(nested.unwrap().as_str());
        assert_eq!(found, Some((run.site, 42)));
        assert_eq!(keys.run_of("raw/LNGS/00000042/v1/"), None);
        assert_eq!(keys.run_of("raw/LNGS/42/v1/run00042.mid"), None);
        assert_eq!(keys.run_of("raw/LNGS/00000042/run00042.mid"), None);
    }
}
