//! Any order of what a DAQ, a compressor, a cleaner and a restart may do to a buffer:
//! whatever lies there in the end is stored with its bytes, nothing that was stored is
//! overwritten, and what has left is forgotten.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::examine::{Examined, Question, examine};
use crate::journal::Encoded;

#[derive(Debug, Clone, Copy)]
enum Event {
    Write(u8, u8),
    Append(u8),
    SideFile(u8),
    Compress(u8),
    CompressHalf(u8),
    Remove(u8),
    RemoveCompressed(u8),
    Rename(u8),
    Scan,
    Store,
    Record,
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let run = 1_u8..3;
    prop_oneof![
        4 => (run.clone(), any::<u8>()).prop_map(|(run, content)| Event::Write(run, content)),
        1 => run.clone().prop_map(Event::Append),
        2 => run.clone().prop_map(Event::SideFile),
        3 => run.clone().prop_map(Event::Compress),
        1 => run.clone().prop_map(Event::CompressHalf),
        2 => run.clone().prop_map(Event::Remove),
        1 => run.clone().prop_map(Event::RemoveCompressed),
        1 => run.prop_map(Event::Rename),
        5 => Just(Event::Scan),
        3 => Just(Event::Store),
        3 => Just(Event::Record),
        1 => Just(Event::Restart),
    ]
}

/// A buffer, its ingester, and a storage that never overwrites.
struct World {
    folder: Folder,
    objects: BTreeMap<(RunNumber, RunVersion), Digests>,
}

impl World {
    fn new() -> Self {
        Self {
            folder: Folder::new(PLAIN, Duration::ZERO),
            objects: BTreeMap::new(),
        }
    }

    fn happen(&mut self, event: Event) {
        let plain = |run: u8| self.folder.path(&format!("run{run}.mid"));
        let packed = |run: u8| self.folder.path(&format!("run{run}.mid.gz"));
        let compress = |run: u8, cut: usize| {
            if let Ok(bytes) = fs::read(plain(run)) {
                let whole = gzip(&bytes);
                fs::write(packed(run), &whole[..whole.len() - cut]).unwrap();
            }
        };
        match event {
            Event::Write(run, content) => fs::write(plain(run), [content; 3]).unwrap(),
            Event::Append(run) => {
                let file = fs::OpenOptions::new().append(true).open(plain(run));
                if let Ok(mut file) = file {
                    file.write_all(b"more").unwrap();
                }
            }
            Event::SideFile(run) => {
                fs::write(self.folder.path(&format!("run{run}.mid.crc32c")), "").unwrap();
            }
            Event::Compress(run) => compress(run, 0),
            Event::CompressHalf(run) => compress(run, 5),
            Event::Remove(run) => drop(fs::remove_file(plain(run))),
            Event::RemoveCompressed(run) => drop(fs::remove_file(packed(run))),
            Event::Rename(run) => {
                let temporary = self.folder.path(&format!(".run{run}.mid"));
                fs::write(&temporary, [run; 2]).unwrap();
                fs::rename(temporary, plain(run)).unwrap();
            }
            Event::Scan => self.scan(),
            Event::Store => self.store(),
            Event::Record => self.record(),
            Event::Restart => self.restart(),
        }
    }

    fn scan(&mut self) {
        let scan = self.folder.scan();
        self.folder.examination.run_now();
        if let Some((dev, ino)) = scan.place {
            self.folder.ledger.apply(Record::Placed { dev, ino });
        }
        for (run, name, form) in scan.formed {
            self.folder.ledger.apply(Record::Formed { run, name, form });
        }
        for (run, disk) in scan.gone {
            let at = Timestamp::UNIX_EPOCH;
            self.folder.ledger.apply(Record::Gone { run, disk, at });
        }
        for found in scan.found {
            let Record::Closed { mut closure, .. } = closed(found.run, &[]) else {
                unreachable!("it is a closure");
            };
            closure.files = found.files;
            let run = found.run;
            self.folder.ledger.apply(Record::Closed {
                run,
                version: found.version,
                closure,
            });
        }
    }

    /// As the store does: what lies there now is read whole, and never overwrites.
    fn store(&mut self) {
        let runs: Vec<_> = self.folder.ledger.to_store().collect();
        for run in runs {
            let active = self.folder.ledger.active(run).unwrap().clone();
            let names: Vec<_> = active.missing().cloned().collect();
            for file in names {
                let name = file.name.clone();
                let Some(facts) = self.read(&file) else {
                    if self.folder.buffer.rules.lies_as(&file).is_none_or(|lies| {
                        identity(&self.folder.buffer.rules.path(&lies.disk))
                            .unwrap()
                            .is_none()
                    }) {
                        self.folder.ledger.apply(Record::Quarantined {
                            run,
                            name,
                            state: FileState::Vanished,
                            reason: "gone".to_owned(),
                            identity: None,
                        });
                    }
                    continue;
                };
                let version = active.version;
                let standing = self.objects.entry((run, version)).or_insert(facts.digests);
                if *standing == facts.digests {
                    self.folder
                        .ledger
                        .apply(Record::Stored { run, name, facts });
                } else {
                    let version = version + 1;
                    self.folder
                        .ledger
                        .apply(Record::Reversioned { run, version });
                    break;
                }
            }
            if self
                .folder
                .ledger
                .active(run)
                .is_some_and(|a| a.stored().count() > 0)
            {
                let key = String::new();
                self.folder.ledger.apply(Record::Manifested { run, key });
            }
        }
    }

    fn read(&self, file: &ExpectedFile) -> Option<StoredFacts> {
        let rules = &self.folder.buffer.rules;
        let lies = rules.lies_as(file)?;
        let question = Question {
            packed: lies.packed,
            ..Question::default()
        };
        let path = rules.path(&lies.disk);
        let (whole, packed) = match examine(&path, &question).ok()? {
            Examined::Whole(whole) => (whole, lies.packed),
            // Nobody waits for it to become whole: it is stored as it is.
            Examined::Broken(..) => match examine(&path, &Question::default()).ok()? {
                Examined::Whole(raw) => (raw, false),
                _ => return None,
            },
            Examined::Changed => return None,
        };
        Some(StoredFacts {
            identity: whole.identity,
            disk: (lies.disk != file.name).then_some(lies.disk),
            digests: whole.decoded,
            encoded: packed.then_some(Encoded {
                encoding: whole.encoding,
                digests: whole.bytes,
            }),
            element: String::new(),
            bucket: String::new(),
            key: String::new(),
            evidence: EvidenceLevel::E2,
            evidence_method: String::new(),
            stored_at: Timestamp::UNIX_EPOCH,
        })
    }

    fn record(&mut self) {
        let runs: Vec<_> = self.folder.ledger.to_record().collect();
        for run in runs {
            self.folder.recorded(run);
        }
    }

    /// Everything that is not in the journal is lost, and the journal is rewritten.
    fn restart(&mut self) {
        let mut ledger = Ledger::default();
        let piece = self.folder.ledger.compact(None, usize::MAX);
        for record in piece.records {
            ledger.apply(record);
        }
        self.folder.ledger = ledger;
        let (examiner, examination) = Examiner::new();
        self.folder.buffer = Buffer::new(self.folder.buffer.rules.clone(), examiner);
        self.folder.examination = examination;
    }

    fn check(&mut self) {
        for run in 1..3 {
            let own = name(&format!("run{run}.mid"));
            let mut present = 0;
            for lies in self.folder.buffer.rules.naming.names_of(&own) {
                let path = self.folder.buffer.rules.path(&lies.disk);
                let question = Question {
                    packed: lies.packed,
                    ..Question::default()
                };
                let Ok(found) = examine(&path, &question) else {
                    continue;
                };
                present += 1;
                let Examined::Whole(whole) = found else {
                    continue;
                };
                let stored = self.objects.iter().any(|((of, _), digests)| {
                    *of == u64::from(run as u8) && *digests == whole.decoded
                });
                assert!(stored, "{} is not stored", lies.disk);
            }
            let known = self.folder.ledger.in_buffer();
            let known = known.filter(|(of, ..)| *of == u64::from(run as u8)).count();
            assert!(
                known <= present,
                "run {run}: {known} known, {present} there"
            );
        }
        assert_eq!(self.folder.ledger.backlog(), (0, 0));
        let scan = self.folder.scan_again();
        let news = (scan.found, scan.formed, scan.gone);
        assert_eq!(news, (vec![], vec![], vec![]), "it comes to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_lies_in_the_buffer_is_lost(events in prop::collection::vec(event(), 1..40)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        for _ in 0..6 {
            for event in [Event::Scan, Event::Scan, Event::Store, Event::Record] {
                world.happen(event);
            }
        }
        world.check();
    }
}
