//! What a name in the buffer means: which run and file, in which form, or what else.
//!
//! One file may stand under several names: `run1.mid`, compressed by another program as
//! `run1.mid.gz`, and before it is closed as `.run1.mid`. Which name means which file
//! follows from the configuration alone, so that it means the same after any loss of
//! memory. The first template that matches counts.

use aquifer_digest::Algorithm;
use aquifer_profile::{FileTemplate, Match, TemplateError};
use aquifer_schemas::{FileName, RunNumber};

/// The rules by which names are read.
#[derive(Debug, Clone, Default)]
pub struct Naming {
    /// Which files are run files.
    pub templates: Vec<FileTemplate>,
    /// What a name ends with when another program has compressed the file.
    pub encodings: Vec<String>,
    /// Names of files that are still written.
    pub temporary: Vec<Temporary>,
    /// Files whose presence closes a file or a run.
    pub markers: Vec<Marker>,
    /// Whether a checksum side file closes a file. One that is there is verified in any case.
    pub side_files_close: bool,
    /// Suffixes of files that are none of these.
    pub ignore_suffixes: Vec<String>,
}

/// A pattern of temporary names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Temporary {
    /// The last part of the name begins so.
    Prefix(String),
    /// It ends so.
    Suffix(String),
}

/// A file that says that others are closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// The name of the file that it closes, and this.
    OfFile(String),
    /// It closes a whole run.
    OfRun(FileTemplate),
}

/// A name in the buffer that means a run file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferName {
    /// The run.
    pub run: RunNumber,
    /// The file's place in it, where its template has one.
    pub subrun: Option<u64>,
    /// Whether its run may have other files: it has a place in the run, or lies in the run's
    /// own folder.
    pub of_many: bool,
    /// The file's own name.
    pub file: FileName,
    /// The name in the buffer.
    pub disk: FileName,
    /// Whether the name says that it is compressed.
    pub packed: bool,
    /// Whether it is a name for files that are still written.
    pub temporary: bool,
}

/// What a side file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// The bytes in the buffer.
    Bytes,
    /// The bytes that these decode to.
    Decoded,
}

/// Where a checksum of the logger may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SideFile {
    /// Its name in the buffer.
    pub name: String,
    /// The checksum that it gives.
    pub algorithm: Algorithm,
    /// Of what.
    pub about: About,
    /// Whether it is written after the file's last byte.
    pub closes: bool,
}

impl Temporary {
    /// Reads `prefix*` or `*suffix`.
    pub fn parse(pattern: &str) -> Result<Self, TemplateError> {
        let wrong = || TemplateError::Temporary(pattern.to_owned());
        let (prefix, suffix) = pattern.split_once('*').ok_or_else(wrong)?;
        match (prefix.is_empty(), suffix.is_empty()) {
            (false, true) => Ok(Self::Prefix(prefix.to_owned())),
            (true, false) => Ok(Self::Suffix(suffix.to_owned())),
            _ => Err(wrong()),
        }
    }

    /// The final name of a temporary one.
    fn strip(&self, name: &str) -> Option<String> {
        match self {
            Self::Prefix(prefix) => {
                let at = name.rfind('/').map_or(0, |slash| slash + 1);
                let last = name[at..].strip_prefix(prefix.as_str())?;
                Some(format!("{}{last}", &name[..at]))
            }
            Self::Suffix(suffix) => name.strip_suffix(suffix.as_str()).map(ToOwned::to_owned),
        }
    }

    fn apply(&self, name: &str) -> String {
        match self {
            Self::Prefix(prefix) => {
                let at = name.rfind('/').map_or(0, |slash| slash + 1);
                format!("{}{prefix}{}", &name[..at], &name[at..])
            }
            Self::Suffix(suffix) => format!("{name}{suffix}"),
        }
    }
}

impl Marker {
    /// Reads `{name}` and an ending, or a template with `{run}`.
    pub fn parse(marker: &str) -> Result<Self, TemplateError> {
        match marker.strip_prefix("{name}") {
            Some(ending) if !ending.is_empty() => Ok(Self::OfFile(ending.to_owned())),
            Some(_) => Err(TemplateError::Marker(marker.to_owned())),
            None => match FileTemplate::parse(marker) {
                Ok(template) => Ok(Self::OfRun(template)),
                Err(TemplateError::NoRun(_)) => Err(TemplateError::Marker(marker.to_owned())),
                Err(other) => Err(other),
            },
        }
    }
}

impl Naming {
    /// What a name in the buffer means; `None` if it is no run file.
    pub fn recognise(&self, name: &str) -> Option<BufferName> {
        let disk: FileName = name.parse().ok()?;
        // The name as it is first: a template may itself look like a temporary name.
        let found = self.final_name(name).map(|found| (found, false));
        let found = found.or_else(|| {
            let mut finals = self.temporary.iter().filter_map(|t| t.strip(name));
            finals.find_map(|name| Some((self.final_name(&name)?, true)))
        });
        let ((template, file, packed), temporary) = found?;
        let Match { run, subrun } = template.matches(&file)?;
        Some(BufferName {
            run,
            subrun,
            of_many: template.is_of_many(),
            file: file.parse().ok()?,
            disk,
            packed,
            temporary,
        })
    }

    /// The template, the file's own name, and whether the name says that it is compressed.
    fn final_name(&self, name: &str) -> Option<(&FileTemplate, String, bool)> {
        let plain = self.unpacked(name);
        for template in &self.templates {
            if template.matches(name).is_some() {
                return Some((template, name.to_owned(), plain.is_some()));
            }
            let plain = plain.filter(|plain| template.matches(plain).is_some());
            if let Some(plain) = plain {
                return Some((template, plain.to_owned(), true));
            }
        }
        None
    }

    /// The template that a run file's own name is of, as it is written.
    pub fn template_of(&self, file: &FileName) -> Option<&str> {
        let mut templates = self.templates.iter();
        let found = templates.find(|template| template.matches(file.as_str()).is_some());
        found.map(FileTemplate::as_str)
    }

    /// The name without the ending of an encoding.
    fn unpacked<'a>(&self, name: &'a str) -> Option<&'a str> {
        let mut endings = self.encodings.iter();
        endings.find_map(|ending| name.strip_suffix(ending.as_str()))
    }

    /// Every name under which a file may stand in the buffer, the best first.
    pub fn names_of(&self, file: &FileName) -> Vec<BufferName> {
        let mut names = vec![file.to_string()];
        let packed = self
            .encodings
            .iter()
            .map(|ending| format!("{file}{ending}"));
        names.extend(packed);
        let temporary: Vec<_> = names
            .iter()
            .flat_map(|name| self.temporary.iter().map(move |t| t.apply(name)))
            .collect();
        names.extend(temporary);
        let names = names.iter().filter_map(|name| self.recognise(name));
        names.filter(|name| name.file == *file).collect()
    }

    /// Whether files may lie in this folder below the buffer.
    pub(crate) fn may_hold(&self, folder: &str) -> bool {
        let markers = self.markers.iter().filter_map(|marker| match marker {
            Marker::OfRun(template) => Some(template),
            Marker::OfFile(_) => None,
        });
        let mut templates = self.templates.iter().chain(markers);
        templates.any(|template| template.folders().iter().any(|t| t.is_path(folder)))
    }

    /// The run that a marker closes.
    pub(crate) fn marked_run(&self, name: &str) -> Option<RunNumber> {
        self.markers.iter().find_map(|marker| match marker {
            Marker::OfRun(template) => template.matches(name).map(|found| found.run),
            Marker::OfFile(_) => None,
        })
    }

    /// Names of the markers that close this very file.
    pub(crate) fn markers_of(&self, name: &BufferName) -> impl Iterator<Item = String> {
        self.markers.iter().filter_map(move |marker| match marker {
            Marker::OfFile(ending) => Some(format!("{}{ending}", name.disk)),
            Marker::OfRun(_) => None,
        })
    }

    /// Where checksums of this file may stand (mlogger.cxx, `wr_close`): beside it, and
    /// beside its name without the last extension. The latter is of the bytes before
    /// compression and written before the compressor has flushed.
    pub(crate) fn side_files(&self, name: &BufferName) -> Vec<SideFile> {
        let disk = name.disk.as_str();
        let data = match self.unpacked(disk) {
            Some(plain) if name.packed => Some((plain, About::Decoded)),
            _ => {
                let last = disk.rfind('/').map_or(0, |slash| slash + 1);
                let dot = disk[last..].rfind('.').filter(|dot| *dot > 0);
                dot.map(|dot| (&disk[..last + dot], About::Bytes))
            }
        };
        let mut found = Vec::with_capacity(8);
        for algorithm in Algorithm::ALL {
            let mut add = |stem: &str, about, closes| {
                found.push(SideFile {
                    name: format!("{stem}{}", side_file_ending(algorithm)),
                    algorithm,
                    about,
                    closes: closes && self.side_files_close,
                });
            };
            add(disk, About::Bytes, true);
            if let Some((stem, about)) = data {
                add(stem, about, about == About::Bytes);
            }
        }
        found
    }

    /// Whether a name means something that is no run file.
    pub fn is_ignored(&self, name: &str) -> bool {
        let ends = |ending: &str| name.ends_with(ending);
        let marks = |marker: &Marker| match marker {
            Marker::OfFile(ending) => ends(ending),
            Marker::OfRun(template) => template.is_path(name),
        };
        self.ignore_suffixes.iter().any(|suffix| ends(suffix))
            || self.markers.iter().any(marks)
            || Algorithm::ALL.iter().any(|a| ends(side_file_ending(*a)))
    }
}

/// What mlogger calls the side file of an algorithm.
fn side_file_ending(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Crc32c => ".crc32c",
        Algorithm::Crc32 => ".crc32zlib",
        Algorithm::Sha256 => ".sha256",
        Algorithm::Sha512 => ".sha512",
    }
}

#[cfg(test)]
#[path = "naming_tests.rs"]
mod tests;
