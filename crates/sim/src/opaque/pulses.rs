//! Events of a detector with many photomultipliers: zero-suppressed pulses.
//!
//! Little endian: u32 bytes that follow, u32 event number, u32 pulses, then of each u16
//! channel, u16 samples, u32 begin in units of 10 ns, and the samples, u16 each.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Photomultipliers.
const CHANNELS: u16 = 248;

/// Counts of a channel without light.
const BASELINE: f64 = 16_000.0;

/// Appends event `number` to `out`.
pub(super) fn event(rng: &mut ChaCha8Rng, number: u32, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend([0; 4]);
    out.extend(number.to_le_bytes());
    let pulses = rng.random_range(1..40_u32);
    out.extend(pulses.to_le_bytes());
    for _ in 0..pulses {
        let samples = rng.random_range(20..120_u16);
        out.extend(rng.random_range(0..CHANNELS).to_le_bytes());
        out.extend(samples.to_le_bytes());
        out.extend(rng.random_range(0..100_000_u32).to_le_bytes());
        let height = rng.random_range(20.0..2000.0);
        for sample in 0..samples {
            // A rise within three samples, then a fall with a time of ten.
            let after = f64::from(sample) - 3.0;
            let light = height
                * if after < 0.0 {
                    0.0
                } else {
                    (-after / 10.0).exp()
                };
            let noise = rng.random_range(-3.0..3.0);
            out.extend(((BASELINE - light + noise) as u16).to_le_bytes());
        }
    }
    let length = (out.len() - begin - 4) as u32;
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
}
