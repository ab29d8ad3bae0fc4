//! A slice of fuzzing that needs no other toolchain: files of our own writer, mutated at
//! random. `make fuzz` runs the same functions under libFuzzer for as long as one likes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests stop at once"
)]

mod entries;
mod seeds;

use aquifer_midas::Encoding;
use proptest::prelude::*;
use proptest::sample::Index;

/// What happens to a file on its way.
#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Repeat(Index, usize),
    Insert(Index, Vec<u8>),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<Index>;
    let mutation = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0_u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        at().prop_map(Mutation::Cut),
        (at(), 1_usize..100).prop_map(|(at, size)| Mutation::Remove(at, size)),
        (at(), 1_usize..100).prop_map(|(at, size)| Mutation::Repeat(at, size)),
        (at(), proptest::collection::vec(any::<u8>(), 1..50))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
    ];
    proptest::collection::vec(mutation, 0..6)
}

fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        let length = bytes.len();
        if length == 0 {
            break;
        }
        match mutation {
            Mutation::Set(at, byte) => bytes[at.index(length)] = *byte,
            Mutation::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Mutation::Cut(at) => bytes.truncate(at.index(length)),
            Mutation::Remove(at, size) => {
                let begin = at.index(length);
                bytes.drain(begin..length.min(begin + size));
            }
            Mutation::Repeat(at, size) => {
                let begin = at.index(length);
                bytes.extend_from_within(begin..length.min(begin + size));
            }
            Mutation::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
        }
    }
    bytes
}

proptest! {
    #[test]
    fn mutated_files_break_no_promise(seed in any::<Index>(), mutations in mutations()) {
        let seeds = seeds::files();
        let (_, file) = &seeds[seed.index(seeds.len())];
        let bytes = mutate(file.clone(), &mutations);
        entries::plain(&bytes);
        entries::split(&bytes);
    }

    #[test]
    fn mutated_compressed_files_break_no_promise(
        seed in any::<Index>(),
        encoding in proptest::sample::select(&seeds::COMPRESSIONS[..]),
        mutations in mutations(),
    ) {
        let seeds = seeds::files();
        let (_, file) = &seeds[seed.index(seeds.len())];
        let bytes = mutate(seeds::encode(encoding, file), &mutations);
        entries::encoded(encoding, &bytes);
    }

    #[test]
    fn mutated_dumps_break_no_promise(seed in any::<Index>(), mutations in mutations()) {
        let dumps = seeds::DUMPS;
        let (_, dump) = dumps[seed.index(dumps.len())];
        let bytes = mutate(dump.as_bytes().to_vec(), &mutations);
        entries::odb_json(&bytes);
        entries::odb_xml(&bytes);
        entries::odb_text(&bytes);
    }
}

#[test]
fn the_seeds_are_what_they_should_be() {
    for (name, file) in seeds::files() {
        entries::plain(&file);
        for encoding in seeds::COMPRESSIONS {
            let encoded = seeds::encode(encoding, &file);
            assert_eq!(Encoding::detect(&encoded), encoding, "{name}");
            entries::encoded(encoding, &encoded);
        }
    }
}

/// Writes the seeds for libFuzzer, one folder for each target.
#[test]
fn seeds_are_written_where_they_are_asked_for() {
    let Some(folder) = std::env::var_os("AQUIFER_FUZZ_SEEDS") else {
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    let put = |target: String, name: &str, bytes: &[u8]| {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    for (name, file) in seeds::files() {
        put("plain".to_owned(), name, &file);
        put(
            "split".to_owned(),
            name,
            &[&[3, 200, 17, 90], &file[..]].concat(),
        );
        for encoding in seeds::COMPRESSIONS {
            let encoded = seeds::encode(encoding, &file);
            put(encoding.to_string(), name, &encoded);
        }
    }
    for (format, dump) in seeds::DUMPS {
        put(format!("odb_{format}"), "dump", dump.as_bytes());
    }
}
