//! The photomultipliers' waveforms and the head that says how to read them.
//!
//! Two boards digitise each trigger: a V1742 (32 channels of 1024 samples, 750 MS/s)
//! and a V1720E (8 channels of 4000 samples, 250 MS/s). Channel 0 is the trigger, 1 to 4
//! are PMTs, 5 to 7 the GEMs. `DIG0` holds, per board, trigger and channel, the samples;
//! `DGH0` the numbers of each, written as in the front end of the CYGNO experiment.

use rand::{Rng, RngExt};

use crate::noise::Noise;
use crate::truth::TriggerTruth;

/// ADC counts without a pulse.
const BASELINE: f32 = 3850.0;

/// Electronic noise in ADC counts.
const SIGMA: f32 = 2.0;

/// One step of a 12-bit digitiser's range.
const FULL_SCALE: u32 = 4096;

struct Board {
    model: u32,
    samples: usize,
    channels: usize,
    /// Period in ps for the V1742, rate in MS/s for the V1720E: mixed, as in the real head.
    sampling: u32,
    /// Where pulses begin, in samples.
    onset: usize,
    /// Rise and fall of a pulse in samples.
    shape: (f32, f32),
    /// Whether each trigger has the index of the first capacitor cell.
    start_cells: bool,
}

const BOARDS: [Board; 2] = [
    Board {
        model: 1742,
        samples: 1024,
        channels: 32,
        sampling: 1333,
        onset: 400,
        shape: (4.0, 24.0),
        start_cells: true,
    },
    Board {
        model: 1720,
        samples: 4000,
        channels: 8,
        sampling: 250,
        onset: 1600,
        shape: (2.0, 9.0),
        start_cells: false,
    },
];

/// Triggers and what the boards made of them; the buffers serve many events.
#[derive(Default)]
pub(crate) struct Waveforms {
    /// `DGH0`.
    pub(crate) head: Vec<u32>,
    /// `DIG0`.
    pub(crate) samples: Vec<u16>,
}

impl Waveforms {
    /// Digitises `triggers`.
    pub(crate) fn digitise(
        &mut self,
        triggers: &[TriggerTruth],
        noise: &Noise,
        rng: &mut impl Rng,
    ) {
        self.head.clear();
        self.samples.clear();
        self.head.push(BOARDS.len() as u32);
        for board in &BOARDS {
            board.write_head(triggers, rng, &mut self.head);
            for trigger in triggers {
                for channel in 0..board.channels {
                    board.write_channel(channel, trigger, noise, rng, &mut self.samples);
                }
            }
        }
    }
}

impl Board {
    /// Offset of a channel's input range, in the DAC's units.
    fn offset(channel: usize) -> u32 {
        let fraction = match channel {
            0 => -0.5,
            1..=7 => -0.3,
            _ => 0.0,
        };
        (fraction * 65536.0 + 32768.0_f64) as u32
    }

    fn write_head(&self, triggers: &[TriggerTruth], rng: &mut impl Rng, head: &mut Vec<u32>) {
        head.extend([
            self.model,
            self.samples as u32,
            self.channels as u32,
            triggers.len() as u32,
            FULL_SCALE,
            self.sampling,
        ]);
        head.extend((0..self.channels).map(Self::offset));
        head.extend(triggers.iter().map(|trigger| trigger.time_tag));
        if self.start_cells {
            head.extend(triggers.iter().map(|_| rng.random_range(0..1024_u32)));
        }
    }

    fn write_channel(
        &self,
        channel: usize,
        trigger: &TriggerTruth,
        noise: &Noise,
        rng: &mut impl Rng,
        samples: &mut Vec<u16>,
    ) {
        let start = samples.len();
        let sigma = (SIGMA * 64.0) as i32;
        let level = (BASELINE * 64.0) as i32 + 32;
        let noise = noise.take(rng, self.samples).iter();
        // 1/64 counts times 1/1024 deviations, by 1024: 1/64 counts.
        samples.extend(noise.map(|z| ((level + ((sigma * i32::from(*z)) >> 10)) >> 6) as u16));
        let wave = &mut samples[start..];
        match channel {
            0 => {
                for sample in &mut wave[self.onset..self.onset + 60] {
                    *sample -= 1500;
                }
            }
            1..=4 => self.subtract(wave, trigger.heights[channel - 1], 1.0),
            5..=7 => self.subtract(wave, trigger.heights.iter().sum::<f32>() / 16.0, 4.0),
            _ => {}
        }
    }

    /// A pulse of `height` counts, `slower` than a PMT's.
    fn subtract(&self, wave: &mut [u16], height: f32, slower: f32) {
        let (rise, fall) = (self.shape.0 * slower, self.shape.1 * slower);
        // The largest value of exp(-t/fall) - exp(-t/rise), to make its height 1.
        let peak_at = (fall / rise).ln() * rise * fall / (fall - rise);
        let peak = (-peak_at / fall).exp() - (-peak_at / rise).exp();
        let length = (12.0 * fall) as usize;
        for (step, sample) in wave[self.onset..].iter_mut().take(length).enumerate() {
            let t = step as f32;
            let pulse = height * ((-t / fall).exp() - (-t / rise).exp()) / peak;
            *sample = sample.saturating_sub(pulse.round() as u16);
        }
    }
}

/// `count` triggers within an exposure of `exposure_secs`, in time order.
pub(crate) fn triggers(count: u32, exposure_secs: f64, rng: &mut impl Rng) -> Vec<TriggerTruth> {
    let ticks = (exposure_secs / 8.5e-9) as u32;
    let mut tags: Vec<u32> = (0..count).map(|_| rng.random_range(0..ticks)).collect();
    tags.sort_unstable();
    tags.into_iter()
        .map(|time_tag| {
            let height = rng.random_range(50.0..600.0_f32);
            TriggerTruth {
                time_tag,
                heights: std::array::from_fn(|_| height * rng.random_range(0.5..1.5)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_head_says_how_to_find_each_pulse() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let noise = Noise::new(&mut rng);
        let triggers = triggers(3, 0.3, &mut rng);
        assert!(triggers.is_sorted_by_key(|trigger| trigger.time_tag));
        let mut waves = Waveforms::default();
        waves.digitise(&triggers, &noise, &mut rng);
        // Read back as the layout says, with nothing taken from the constants above.
        let mut head = waves.head.iter().map(|word| *word as usize);
        let mut samples = waves.samples.as_slice();
        let boards = head.next().unwrap();
        assert_eq!(boards, 2);
        for model in [1742, 1720] {
            let mut word = || head.next().unwrap();
            assert_eq!(word(), model);
            let (length, channels, count) = (word(), word(), word());
            assert_eq!(word(), 4096);
            assert_eq!(word(), if model == 1742 { 1333 } else { 250 });
            let offsets: Vec<_> = (0..channels).map(|_| word()).collect();
            assert_eq!(offsets[..3], [0, 13107, 13107]);
            let tags: Vec<_> = (0..count).map(|_| word() as u32).collect();
            assert_eq!(
                tags,
                triggers.iter().map(|t| t.time_tag).collect::<Vec<_>>()
            );
            if model == 1742 {
                assert!((0..count).all(|_| word() < 1024));
            }
            for trigger in &triggers {
                for channel in 0..channels {
                    let (wave, rest) = samples.split_at(length);
                    samples = rest;
                    let baseline = wave[..200].iter().map(|s| f32::from(*s)).sum::<f32>() / 200.0;
                    assert!((baseline - 3850.0).abs() < 1.0, "{baseline}");
                    let depth = baseline - f32::from(*wave.iter().min().unwrap());
                    let height = match channel {
                        0 => 1500.0,
                        1..=4 => trigger.heights[channel - 1],
                        5..=7 => trigger.heights.iter().sum::<f32>() / 16.0,
                        _ => 0.0,
                    };
                    assert!((depth - height).abs() < 16.0, "{channel}: {depth} {height}");
                }
            }
        }
        assert!(head.next().is_none() && samples.is_empty());
    }
}
