//! Speed of plain reading: camera events of 10.6 MB and waveforms of some 100 bytes.

use std::io::Write;

use aquifer_midas::{BankFormat, BankName, EventBuilder, Reader, Writer};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

const TOTAL_BYTES: usize = 64 << 20;

fn main() {
    divan::main();
}

/// A run of events with one bank of `samples` numbers, about 64 MiB.
fn run(samples: usize) -> Vec<u8> {
    let values: Vec<u16> = (0..samples).map(|i| (i % 97) as u16 + 50).collect();
    let mut event = EventBuilder::new(1, BankFormat::Bank32);
    let mut writer = Writer::new(Vec::with_capacity(TOTAL_BYTES + samples * 4));
    writer.begin_of_run(1, 0, b"{}").expect("memory");
    let mut serial = 0;
    while writer.offset() < TOTAL_BYTES as u64 {
        event.begin(serial, 0);
        event.values(BankName(*b"CAM0"), &values).expect("it fits");
        writer.event(&event).expect("memory");
        serial += 1;
    }
    writer.end_of_run(1, 0, b"{}").expect("memory");
    writer.into_inner()
}

const SAMPLES: [usize; 2] = [2304 * 2304, 60];

#[divan::bench(args = SAMPLES)]
fn read_and_visit_banks(bencher: Bencher<'_, '_>, samples: usize) {
    let file = run(samples);
    bencher
        .counter(BytesCount::new(file.len()))
        .bench_local(|| {
            let mut reader = Reader::new(&file[..]);
            let mut bytes = 0;
            while let Some(event) = reader.read_event().expect("whole") {
                if let Ok(banks) = event.banks() {
                    bytes += banks.flatten().map(|bank| bank.data.len()).sum::<usize>();
                }
            }
            black_box(bytes)
        });
}

#[divan::bench]
fn read_gzip(bencher: Bencher<'_, '_>) {
    let file = run(SAMPLES[0]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&file).expect("memory");
    let compressed = encoder.finish().expect("memory");
    bencher
        .counter(BytesCount::new(file.len()))
        .bench_local(|| {
            let stream = aquifer_midas::decode(&compressed[..]).expect("memory");
            let mut reader = Reader::new(stream);
            while let Some(event) = reader.read_event().expect("whole") {
                black_box(event.payload);
            }
        });
}
