//! How small camera data become, and at what cost: gzip, zstd and libdeflate at several
//! levels, alone and behind filters that lose nothing. Prints a page of Markdown.
//!
//! Each piece of 8 MiB is compressed by itself on one thread, as m2c does it, and the
//! thread's own CPU time is what counts: other load on the machine does not.

use std::io::{self, Write};

use aquifer_midas::{BankName, Reader};
use aquifer_sim::{Detector, DetectorConfig};
use nix::time::{ClockId, clock_gettime};

const PIECE: usize = 8 << 20;
const FRAMES: u32 = 10;
/// Frames of the pedestal run from which the pedestals are taken.
const PEDESTAL_FRAMES: u32 = 8;

type Pixels = Vec<u16>;

/// A filter with its name.
type Filter<'a> = (&'static str, Box<dyn Fn(&Pixels) -> Vec<u8> + 'a>);

/// Camera frames of one run.
fn frames(run: u64, count: u32) -> Vec<Pixels> {
    let config = DetectorConfig {
        frames_per_run: count,
        triggers_per_frame: 0,
        pedestal_every: 10,
        ..DetectorConfig::full("LAB".parse().expect("a site"))
    };
    let mut detector = Detector::new(config).expect("a detector");
    detector.resume_at(run);
    let start = detector.planned_start();
    let mut file = Vec::new();
    let run = detector.next_run(start).expect("a number");
    run.write(&mut file, &mut |due| due).expect("memory");
    let mut reader = Reader::new(&file[..]);
    let mut frames = Vec::new();
    while let Some(event) = reader.read_event().expect("a sound file") {
        if let Ok(Some(bank)) = event.bank(BankName(*b"CAM0")) {
            frames.push(bank.values::<u16>().expect("pixels").collect());
        }
    }
    frames
}

fn mean(frames: &[Pixels]) -> Pixels {
    let count = frames.len() as u32;
    let pixels = 0..frames[0].len();
    pixels
        .map(|at| {
            let sum: u32 = frames.iter().map(|frame| u32::from(frame[at])).sum();
            ((sum + count / 2) / count) as u16
        })
        .collect()
}

fn bytes(pixels: &[u16]) -> Vec<u8> {
    pixels
        .iter()
        .flat_map(|pixel| pixel.to_le_bytes())
        .collect()
}

/// Low bytes, then high bytes.
fn byte_shuffle(pixels: &[u16]) -> Vec<u8> {
    let low = pixels.iter().map(|pixel| *pixel as u8);
    let high = pixels.iter().map(|pixel| (pixel >> 8) as u8);
    low.chain(high).collect()
}

/// All bits of one weight together, from the lowest.
fn bit_shuffle(pixels: &[u16]) -> Vec<u8> {
    let mut out = vec![0; pixels.len() * 2];
    let plane = pixels.len() / 8;
    for (at, eight) in pixels.chunks_exact(8).enumerate() {
        for weight in 0..16 {
            let bits = eight.iter().enumerate();
            let byte = bits.fold(0, |byte, (place, pixel)| {
                byte | (((pixel >> weight) & 1) as u8) << place
            });
            out[weight * plane + at] = byte;
        }
    }
    out
}

/// Small differences of either sign as small numbers.
fn zigzag(value: u16, from: u16) -> u16 {
    let difference = value.wrapping_sub(from).cast_signed();
    ((difference << 1) ^ (difference >> 15)).cast_unsigned()
}

fn minus_neighbour(pixels: &[u16]) -> Pixels {
    let before = std::iter::once(0).chain(pixels.iter().copied());
    pixels
        .iter()
        .zip(before)
        .map(|(pixel, left)| zigzag(*pixel, left))
        .collect()
}

fn minus_pedestal(pixels: &[u16], pedestal: &[u16]) -> Pixels {
    pixels
        .iter()
        .zip(pedestal)
        .map(|(pixel, pedestal)| zigzag(*pixel, *pedestal))
        .collect()
}

/// What no coder of single values can go below: 16 bits over the mean information.
fn entropy_bound(frames: &[Pixels]) -> f64 {
    let mut counts = vec![0u64; 1 << 16];
    for pixel in frames.iter().flatten() {
        counts[usize::from(*pixel)] += 1;
    }
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let used = counts.into_iter().filter(|count| *count > 0);
    let bits: f64 = used
        .map(|count| count as f64 / total)
        .map(|share| -share * share.log2())
        .sum();
    16.0 / bits
}

fn cpu_secs() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

enum Codec {
    Gzip(u32),
    Libdeflate(i32),
    Zstd(i32),
}

impl Codec {
    fn name(&self) -> String {
        match self {
            Self::Gzip(level) => format!("gzip {level} (zlib-rs)"),
            Self::Libdeflate(level) => format!("gzip {level} (libdeflate)"),
            Self::Zstd(level) => format!("zstd {level}"),
        }
    }

    fn compress(&self, piece: &[u8]) -> usize {
        match self {
            Self::Gzip(level) => {
                let level = flate2::Compression::new(*level);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(piece).expect("memory");
                encoder.finish().expect("memory").len()
            }
            Self::Libdeflate(level) => {
                let level = libdeflater::CompressionLvl::new(*level).expect("a level");
                let mut compressor = libdeflater::Compressor::new(level);
                let mut out = vec![0; compressor.gzip_compress_bound(piece.len())];
                compressor.gzip_compress(piece, &mut out).expect("room")
            }
            Self::Zstd(level) => zstd::bulk::compress(piece, *level).expect("memory").len(),
        }
    }
}

struct Row {
    data: &'static str,
    codec: String,
    ratio: f64,
    mb_per_cpu_sec: f64,
}

fn measure(data: &'static str, frames: &[Vec<u8>], filter_secs: f64, codec: &Codec) -> Row {
    let whole = frames.concat();
    let began = cpu_secs();
    let out: usize = whole.chunks(PIECE).map(|piece| codec.compress(piece)).sum();
    let took = cpu_secs() - began + filter_secs;
    Row {
        data,
        codec: codec.name(),
        ratio: whole.len() as f64 / out as f64,
        mb_per_cpu_sec: whole.len() as f64 / 1e6 / took,
    }
}

fn main() -> io::Result<()> {
    let data = frames(11, FRAMES);
    let pedestal = mean(&frames(10, PEDESTAL_FRAMES));
    let residuals: Vec<Pixels> = data
        .iter()
        .map(|frame| minus_pedestal(frame, &pedestal))
        .collect();
    let plain = [
        Codec::Gzip(1),
        Codec::Gzip(3),
        Codec::Gzip(6),
        Codec::Gzip(9),
        Codec::Libdeflate(1),
        Codec::Libdeflate(3),
        Codec::Libdeflate(6),
        Codec::Libdeflate(9),
        Codec::Zstd(1),
        Codec::Zstd(3),
        Codec::Zstd(6),
        Codec::Zstd(9),
        Codec::Zstd(15),
    ];
    let filtered = [
        Codec::Gzip(1),
        Codec::Libdeflate(3),
        Codec::Zstd(1),
        Codec::Zstd(3),
        Codec::Zstd(9),
    ];
    let filters: [Filter<'_>; 5] = [
        ("byte shuffle", Box::new(|frame| byte_shuffle(frame))),
        ("bit shuffle", Box::new(|frame| bit_shuffle(frame))),
        (
            "difference to the left pixel, byte shuffle",
            Box::new(|frame| byte_shuffle(&minus_neighbour(frame))),
        ),
        (
            "difference to the pedestal, byte shuffle",
            Box::new(|frame| byte_shuffle(&minus_pedestal(frame, &pedestal))),
        ),
        (
            "difference to the pedestal, bit shuffle",
            Box::new(|frame| bit_shuffle(&minus_pedestal(frame, &pedestal))),
        ),
    ];
    let mut rows = Vec::new();
    let as_taken: Vec<_> = data.iter().map(|frame| bytes(frame)).collect();
    for codec in &plain {
        rows.push(measure("as taken", &as_taken, 0.0, codec));
    }
    for (name, filter) in &filters {
        let began = cpu_secs();
        let out: Vec<_> = data.iter().map(filter).collect();
        let took = cpu_secs() - began;
        for codec in &filtered {
            rows.push(measure(name, &out, took, codec));
        }
    }
    let mut page = io::stdout().lock();
    let megabytes = as_taken.concat().len() as f64 / 1e6;
    writeln!(
        page,
        "# How small camera data become\n\n\
         `make bench-compression`: {FRAMES} frames of 2304 x 2304 pixels of the simulated camera \
         ({megabytes:.0} MB; pedestal 100, noise 2 to 4 counts, tracks), in pieces of 8 MiB, on one \
         thread. Speed is input per second of the thread's CPU time, filter included. The bytes of a \
         run file are camera frames to more than 99 %.\n\n\
         Bound of any coder that takes pixels one by one: {:.2} as taken, {:.2} after the pedestal \
         (mean of {PEDESTAL_FRAMES} frames) is subtracted.\n\n\
         | data | compressor | ratio | MB/CPU-s |\n|---|---|---|---|",
        entropy_bound(&data),
        entropy_bound(&residuals),
    )?;
    for row in rows {
        writeln!(
            page,
            "| {} | {} | {:.2} | {:.0} |",
            row.data, row.codec, row.ratio, row.mb_per_cpu_sec
        )?;
    }
    Ok(())
}
