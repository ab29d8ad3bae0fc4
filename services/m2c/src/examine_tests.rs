//! Compressed files are whole or not, whatever the encoding and wherever they are cut.

use std::io::Write as _;

use aquifer_midas::Encoder;
use proptest::prelude::*;

use super::*;

const ENCODINGS: [aquifer_midas::Encoding; 4] = [
    aquifer_midas::Encoding::Gzip,
    aquifer_midas::Encoding::Bzip2,
    aquifer_midas::Encoding::Lz4,
    aquifer_midas::Encoding::Zstd,
];

fn pack(bytes: &[u8], encoding: aquifer_midas::Encoding) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), encoding).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn examined(bytes: &[u8], question: &Question) -> Examined {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    examine(&path, question).unwrap()
}

fn packed() -> Question {
    Question {
        packed: true,
        sums: vec![Algorithm::Sha256],
        begin: None,
    }
}

#[test]
fn links_pipes_and_folders_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("file"), "x").unwrap();
    std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
    nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(open_regular(&path("file")).is_ok());
    for name in ["link", "pipe", ".", "none"] {
        assert!(open_regular(&path(name)).is_err(), "{name}");
    }
}

#[test]
fn the_begin_of_a_file_that_grew_is_recognised() {
    let question = Question {
        begin: Some(3),
        ..Question::default()
    };
    let Examined::Whole(whole) = examined(b"abcdef", &question) else {
        panic!("it is whole");
    };
    assert_eq!(whole.begin, Some(Digests::of(b"abc")));
    assert_eq!(whole.decoded, Digests::of(b"abcdef"));
    let Examined::Whole(short) = examined(b"ab", &question) else {
        panic!("it is whole");
    };
    assert_eq!(short.begin, None);
}

#[test]
fn a_name_that_lies_about_compression_is_no_whole_file() {
    for bytes in [&b""[..], b"plain", b"\xfd7zXZ\0\0"] {
        let found = examined(bytes, &packed());
        assert!(matches!(found, Examined::Broken(..)), "{found:?}");
    }
}

proptest! {
    #[test]
    fn only_a_whole_file_is_whole(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        which in 0_usize..4,
        cut in any::<prop::sample::Index>(),
    ) {
        let file = pack(&bytes, ENCODINGS[which]);
        let Examined::Whole(whole) = examined(&file, &packed()) else {
            panic!("it is whole");
        };
        prop_assert_eq!(whole.decoded, Digests::of(&bytes));
        prop_assert_eq!(whole.bytes, Digests::of(&file));
        prop_assert_eq!(Some(whole.encoding), word(ENCODINGS[which]));
        prop_assert_eq!(whole.sums.len(), 1);
        let cut = cut.index(file.len());
        let broken = examined(&file[..cut], &packed());
        prop_assert!(matches!(broken, Examined::Broken(..)), "cut at {}", cut);
    }
}
