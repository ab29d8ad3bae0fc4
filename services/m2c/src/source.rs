//! A file of the buffer on its way into storage: under which name it lies, what it
//! decodes to, and what was said of its bytes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_digest::{Algorithm, Digests, FileIdentity, SumDigester};
use aquifer_schemas::FileName;
use aquifer_storage::{SourceFile, StorageError, Verify};

use crate::buffer::identity;
use crate::examine::{Examined, Question, Whole, examine};
use crate::examiner::Examiner;
use crate::journal::{Encoded, ExpectedFile};
use crate::naming::About;
use crate::rules::BufferRules;
use crate::side_file::{LoggerChecksum, Read};

/// What is to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file, with what the DAQ said of it.
    pub file: ExpectedFile,
    /// Its name in the buffer.
    pub disk: FileName,
    /// What lay there when it was looked at.
    pub identity: Option<FileIdentity>,
    /// What the logger said of it.
    logger: Vec<LoggerChecksum>,
    /// What it decodes to, if it is compressed.
    whole: Option<Whole>,
}

impl Source {
    /// Looks at a file in the buffer; an error in words is a reason to wait. Blocking.
    pub(crate) fn look_at(
        rules: &BufferRules,
        examiner: &Examiner,
        file: ExpectedFile,
    ) -> Result<Self, String> {
        let Some(name) = rules.lies_as(&file) else {
            let disk = file.name.clone();
            return Ok(Self {
                file,
                disk,
                identity: None,
                logger: Vec::new(),
                whole: None,
            });
        };
        let path = rules.path(&name.disk);
        let identity = identity(&path).map_err(|error| error.to_string())?;
        let side_files = rules.naming.side_files(&name);
        let logger = LoggerChecksum::read_all(&rules.folder, &side_files)?;
        let mut source = Self {
            file,
            disk: name.disk,
            identity,
            logger,
            whole: None,
        };
        if let Some(identity) = identity.filter(|_| name.packed) {
            source.whole = source.decode(&path, identity, examiner)?;
        }
        Ok(source)
    }

    /// What a compressed file decodes to; `None` if it never becomes whole, and is stored
    /// as the bytes that it is.
    fn decode(
        &self,
        path: &Path,
        identity: FileIdentity,
        examiner: &Examiner,
    ) -> Result<Option<Whole>, String> {
        let sums = self.asked(About::Decoded);
        if let Some(whole) = examiner.known(&self.disk, identity)
            && sums.is_empty()
        {
            return Ok(Some(whole));
        }
        let question = Question {
            packed: true,
            sums,
            begin: None,
        };
        match examine(path, &question) {
            Ok(Examined::Whole(whole)) => Ok(Some(whole)),
            Ok(Examined::Broken(..)) if examiner.is_given_up(&self.file.name) => Ok(None),
            Ok(Examined::Broken(_, reason)) => Err(format!("it is not whole: {reason}")),
            Ok(Examined::Changed) => Err("it changed while it was decoded".to_owned()),
            Err(error) => Err(format!("it cannot be decoded: {error}")),
        }
    }

    /// Whether the file lies under its own name, and all that was said of its bytes can be
    /// checked by the digests that every upload takes.
    pub(crate) fn is_plain(&self) -> bool {
        let checkable = [About::Bytes, About::Decoded].map(|about| self.asked(about).is_empty());
        self.disk == self.file.name && self.whole.is_none() && checkable == [true, true]
    }

    /// Whether anybody said what the bytes should be.
    pub(crate) fn is_vouched_for(&self) -> bool {
        !self.logger.is_empty() || self.file.crc32c.is_some()
    }

    /// The check that the bytes of a plain file must pass.
    pub(crate) fn check(&self) -> Verify {
        let source = self.clone();
        Box::new(move |digests: &Digests| source.verify(digests, &[]))
    }

    /// The name that the object's key ends with.
    pub(crate) fn key_name(&self) -> &FileName {
        // Also where it could not be decoded: the bytes under the key are of this name.
        let packed = self.disk.as_str().starts_with(self.file.name.as_str());
        if packed { &self.disk } else { &self.file.name }
    }

    /// Digests of the file's bytes, and how the object's are made from them.
    pub(crate) fn content(&self, sealed: Digests) -> (Digests, Option<Encoded>) {
        match &self.whole {
            Some(whole) => (
                whole.decoded,
                Some(Encoded {
                    encoding: whole.encoding,
                    digests: sealed,
                }),
            ),
            None => (sealed, None),
        }
    }

    /// Opens the file, with the check that its bytes must pass.
    pub(crate) async fn open(&self, path: &Path) -> Result<(SourceFile, Verify), StorageError> {
        let mut file = SourceFile::open(path).await?;
        let asked = self.asked(About::Bytes);
        let digesters: Vec<_> = asked.iter().map(|sum| SumDigester::new(*sum)).collect();
        let digesters = Arc::new(Mutex::new(digesters));
        if !asked.is_empty() {
            let tapped = Arc::clone(&digesters);
            file = file.with_tap(Box::new(move |bytes| {
                let mut digesters = tapped.lock().unwrap_or_else(PoisonError::into_inner);
                digesters.iter_mut().for_each(|sum| sum.update(bytes));
            }));
        }
        let source = self.clone();
        let verify = move |digests: &Digests| {
            let digesters = digesters.lock().unwrap_or_else(PoisonError::into_inner);
            let whole = digesters.iter().filter(|sum| sum.size() == digests.size);
            let sums: Vec<_> = whole.map(|sum| (sum.algorithm(), sum.finish())).collect();
            source.verify(digests, &sums)
        };
        Ok((file, Box::new(verify)))
    }

    /// Holds the bytes that were read against everything that was said of them.
    fn verify(&self, digests: &Digests, sums: &[(Algorithm, String)]) -> Result<(), String> {
        let (decoded, decoded_sums) = match &self.whole {
            Some(whole) if whole.bytes != *digests => {
                return Err("it changed between being decoded and being stored".to_owned());
            }
            Some(whole) => (Some(&whole.decoded), whole.sums.as_slice()),
            None => (None, &[][..]),
        };
        for logger in &self.logger {
            match (logger.about, decoded) {
                (About::Bytes, _) => logger.verify(&Read { digests, sums })?,
                (About::Decoded, Some(digests)) => logger.verify(&Read {
                    digests,
                    sums: decoded_sums,
                })?,
                // What it decodes to cannot be had: it is stored as it is.
                (About::Decoded, None) => {}
            }
        }
        self.verify_announced(digests, decoded)
    }

    /// What the DAQ announced is about the name that it announced.
    fn verify_announced(&self, bytes: &Digests, decoded: Option<&Digests>) -> Result<(), String> {
        let announced = self.file.disk.as_ref().unwrap_or(&self.file.name);
        let digests = if *announced == self.disk || self.key_name() != &self.disk {
            Some(bytes)
        } else if *announced == self.file.name {
            decoded
        } else {
            None
        };
        let Some(digests) = digests else {
            return Ok(());
        };
        if let Some(size) = self.file.size.filter(|size| *size != digests.size) {
            return Err(format!(
                "{} bytes were read where the DAQ announced {size}",
                digests.size
            ));
        }
        match self.file.crc32c {
            Some(crc32c) if crc32c != digests.crc32c => Err(format!(
                "crc32c {} was read where the DAQ announced {crc32c}",
                digests.crc32c
            )),
            _ => Ok(()),
        }
    }

    /// Checksums that the logger gave and that are not computed anyway.
    fn asked(&self, about: About) -> Vec<Algorithm> {
        let logger = self.logger.iter().filter(|logger| logger.about == about);
        let mut asked: Vec<_> = logger.map(|logger| logger.algorithm).collect();
        asked.retain(|algorithm| *algorithm != Algorithm::Crc32c);
        asked.dedup();
        asked
    }
}
