//! What all three checksums cost together, hot in cache and from memory, beside
//! each alone.

use divan::Bencher;
use divan::counter::BytesCount;

use aquifer_digest::{Digests, PIECE};

fn main() {
    divan::main();
}

/// One piece that stays in the cache, and a part of an upload that does not.
const SIZES: [usize; 2] = [PIECE, 16 << 20];

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|i| ((i * 31) >> 3) as u8).collect()
}

#[divan::bench(args = SIZES)]
fn all_three(bencher: Bencher, size: usize) {
    let bytes = bytes(size);
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| Digests::of(divan::black_box(&bytes)));
}

#[divan::bench(args = SIZES)]
fn crc64nvme_alone(bencher: Bencher, size: usize) {
    let bytes = bytes(size);
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| crc_fast::crc64_nvme(divan::black_box(&bytes)));
}

#[divan::bench(args = SIZES)]
fn adler32_alone(bencher: Bencher, size: usize) {
    let bytes = bytes(size);
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        let mut adler32 = simd_adler32::Adler32::new();
        adler32.write(divan::black_box(&bytes));
        adler32.finish()
    });
}

/// Two parts of an upload.
#[divan::bench]
fn combination(bencher: Bencher) {
    let (first, second) = (
        Digests::of(b"first"),
        Digests {
            size: 16_777_213,
            ..Digests::of(b"second")
        },
    );
    bencher.bench_local(|| divan::black_box(&first).then(divan::black_box(&second)));
}

/// The same by matrices, of one of the two CRCs.
#[divan::bench]
fn combination_by_matrices(bencher: Bencher) {
    bencher.bench_local(|| {
        let (first, second, size) = divan::black_box((1, 2, 16_777_213));
        crc_fast::checksum_combine(crc_fast::CrcAlgorithm::Crc64Nvme, first, second, size)
    });
}
