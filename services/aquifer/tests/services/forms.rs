//! One file in many forms: compressed by another program before or after it was stored,
//! in pieces, under a temporary name.

use std::fs;
use std::io::Write as _;

use aquifer_digest::Digests;
use aquifer_midas::{Encoder, Encoding};

use crate::deployment::{Deployment, take};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), Encoding::Gzip).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Deployment {
    /// The names of all signals that were announced and not about an end.
    pub(crate) fn signal_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .signals()
            .into_iter()
            .filter(|signal| !signal.cleared)
            .map(|signal| signal.name)
            .collect();
        names.sort_unstable();
        names
    }
}

#[test]
fn a_stored_file_that_another_program_compresses_and_a_cleaner_removes() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let truth = take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_stored(1);
    let plain = deployment.buffer().join(truth.files[0].name.as_str());
    let packed = plain.with_extension("mid.gz");
    fs::write(&packed, gzip(&fs::read(&plain).unwrap())).unwrap();
    let shown = || deployment.expect(&["runs", "show", "1", "--json"]);
    deployment.wait_until("the form is known", || shown().contains("gzip"));
    fs::remove_file(&plain).unwrap();
    deployment.check_conserved(1);
    assert_eq!(deployment.signal_names(), [""; 0]);
    // Now someone cleans up. What was stored stands, and someone is told once.
    fs::remove_file(&packed).unwrap();
    m2c.stop();
    let m2c = deployment.service("m2c", None);
    deployment.wait_until("the loss is told", || !deployment.signals().is_empty());
    assert_eq!(deployment.signal_names(), ["file-left-buffer"]);
    deployment.check_conserved(1);
    drop((m2c, relay));
}

#[test]
fn a_file_of_which_only_the_compressed_form_was_seen() {
    let deployment = Deployment::start();
    let truth = take(&mut deployment.daq(|config| config.frames_per_run = 1));
    let plain = deployment.buffer().join(truth.files[0].name.as_str());
    let bytes = fs::read(&plain).unwrap();
    let packed = gzip(&bytes);
    fs::write(plain.with_extension("mid.gz"), &packed[..packed.len() / 2]).unwrap();
    fs::remove_file(&plain).unwrap();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    fs::write(plain.with_extension("mid.gz"), &packed).unwrap();
    deployment.wait_stored(1);
    // The DAQ's list speaks of the plain file, the storage holds the compressed one.
    deployment.check_conserved(1);
    let announced = deployment.announced();
    let file = &announced[&1][0].files[0];
    assert_eq!(file.name, truth.files[0].name);
    assert_eq!(file.crc32c, Digests::of(&bytes).crc32c.to_string());
    assert_eq!(file.size, bytes.len() as u64);
    assert_eq!(file.stored_size, packed.len() as u64);
    assert!(file.key.ends_with(".mid.gz"), "{}", file.key);
    let manifest = deployment.read_object("raw/LAB/00000001/v1/manifest.r1.json");
    let manifest: aquifer_m2c::Manifest = serde_json::from_slice(&manifest).unwrap();
    let encoded = manifest.files[0].stored_as.as_ref().unwrap();
    assert_eq!(encoded.size, packed.len() as u64);
    assert_eq!(encoded.crc64nvme, Digests::of(&packed).crc64nvme);
    drop((m2c, relay));
}

#[test]
fn subruns_are_stored_at_once_and_their_run_when_the_daq_has_moved_on() {
    let deployment = Deployment::start();
    let flags = [
        "--set",
        "m2c.files=[\"run{run:05}/sub{subrun:04}.mid\"]",
        "--set",
        "m2c.quiet-secs=3600",
    ];
    let m2c = deployment.service_with("m2c", &flags, None);
    let relay = deployment.service("relay", None);
    let write = |name: &str| {
        let path = deployment.buffer().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, name).unwrap();
        let digests = Digests::of(name.as_bytes());
        let line = format!("{} {} {}\n", digests.crc32c, digests.size, path.display());
        fs::write(path.with_extension("mid.crc32c"), line).unwrap();
    };
    write("run00001/sub0000.mid");
    deployment.wait_until("the first subrun is stored", || {
        deployment.objects() == ["raw/LAB/00000001/v1/run00001/sub0000.mid"]
    });
    assert!(deployment.announced().is_empty());
    write("run00001/sub0001.mid");
    write("run00002/sub0000.mid");
    deployment.wait_stored(1);
    let announced = deployment.announced();
    assert_eq!(announced[&1].len(), 1, "once, when it was over");
    assert_eq!(announced[&1][0].files.len(), 2);
    assert!(!announced.contains_key(&2), "it goes on");
    let report = deployment.audit(&flags);
    assert_eq!(report["unaccounted"], 0, "{report:#}");
    drop((m2c, relay));
}

impl Deployment {
    fn read_object(&self, key: &str) -> Vec<u8> {
        use aquifer_storage::StorageElement as _;
        let element = self.storage();
        let key = key.parse().unwrap();
        let read = self.runtime.block_on(element.read_all(&key, 1 << 20));
        read.unwrap().to_vec()
    }

    /// Keys of all files in the storage.
    fn objects(&self) -> Vec<String> {
        use aquifer_storage::StorageElement as _;
        use futures::TryStreamExt as _;
        let element = self.storage();
        let pages: Vec<_> = self
            .runtime
            .block_on(element.list("raw/").try_collect())
            .unwrap();
        pages
            .into_iter()
            .flatten()
            .map(|object| object.key)
            .collect()
    }
}
