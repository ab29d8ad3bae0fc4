//! Blocks of a spectrometer in space, one event each.
//!
//! Words of 16 bits, big endian: bytes that follow (below 32768), id (bits 0 to 4: type 5,
//! event; bits 5 to 13: node), status, two words of GPS seconds; then run (2 words), event
//! (2 words), microseconds (2 words), data, the low word of the event's number, status, and
//! a CRC-16 (polynomial 0x1021, from 0xffff) over event number to status.

use jiff::Timestamp;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Type 5 of node 128.
const ID: u16 = 128 << 5 | 5;

/// GPS seconds begin so many seconds after Unix's.
const GPS_EPOCH: i64 = 315_964_800;

/// Words of data in a block, evenly distributed: with its heads some 2 kB in the mean.
const DATA_WORDS: std::ops::Range<usize> = 20..2000;

/// Appends the block of event `number` to `out`.
pub(super) fn event(
    rng: &mut ChaCha8Rng,
    run: u64,
    number: u32,
    now: Timestamp,
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    let seconds = u32::try_from(now.as_second() - GPS_EPOCH).unwrap_or_default();
    let micros = (now.subsec_nanosecond() / 1000).unsigned_abs();
    out.extend([0; 2]);
    out.extend(ID.to_be_bytes());
    out.extend([0; 2]);
    out.extend(seconds.to_be_bytes());
    out.extend((run as u32).to_be_bytes());
    let covered = out.len();
    out.extend(number.to_be_bytes());
    out.extend(micros.to_be_bytes());
    for _ in 0..rng.random_range(DATA_WORDS) {
        out.extend(rng.random::<u16>().to_be_bytes());
    }
    out.extend((number as u16).to_be_bytes());
    out.extend([0; 2]);
    let crc = crc16(&out[covered..]);
    out.extend(crc.to_be_bytes());
    let length = (out.len() - begin - 2) as u16;
    out[begin..begin + 2].copy_from_slice(&length.to_be_bytes());
}

/// CRC-16 with polynomial 0x1021, from 0xffff (CCSDS 132.0-B-3 §4.1.6.2).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_block_says_its_length_and_passes_its_check() {
        assert_eq!(crc16(b"123456789"), 0x29b1);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let now = Timestamp::from_second(1_305_853_512).unwrap();
        let mut bytes = Vec::new();
        for number in 0..20 {
            event(&mut rng, 1_305_853_512, number, now, &mut bytes);
        }
        let mut rest = bytes.as_slice();
        for number in 0..20_u32 {
            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            let (block, after) = rest[2..].split_at(length);
            assert!(length < 1 << 15);
            assert_eq!(block[4..8], 989_888_712_u32.to_be_bytes());
            assert_eq!(block[12..16], number.to_be_bytes());
            assert_eq!(crc16(&block[12..]), 0, "the residue of a whole block");
            rest = after;
        }
        assert!(rest.is_empty());
    }
}
