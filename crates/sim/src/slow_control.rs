//! The slow-control readout `INPT`: 24 channels of an MSCB box.
//!
//! Sensors give 4 to 20 mA or volts; what they mean stands in the experiment's formulas,
//! such as gas temperature `(x - 4) / 16 * 200 - 50` degrees of channel 0.

use rand::{Rng, RngExt};

/// Number of channels.
pub(crate) const CHANNELS: usize = 24;

/// What each channel reads on a quiet day. 0: gas at 21 °C; 3: outside at 1.01 bar;
/// 5: chamber at 1.02 bar; 8 to 15: volts of temperature, humidity and room sensors;
/// 16 to 23: filters, density and flows.
const QUIET: [f32; CHANNELS] = [
    9.68, 0.001, 4.5, 14.02, 0.001, 14.14, 0.001, 0.001, 1.95, 2.7, 1.15, 0.55, 1.25, 0.9, 0.35,
    0.4, 8.7, 8.7, 10.3, 10.6, 0.001, 11.0, 6.25, 6.35,
];

/// The channels' names in the ODB.
pub(crate) fn names() -> Vec<String> {
    let groups = ["P0IIn", "P1UIn", "P3IIn"];
    groups
        .iter()
        .flat_map(|group| (0..8).map(move |channel| format!("{group}{channel}")))
        .collect()
}

/// One readout.
pub(crate) fn read_out(rng: &mut impl Rng) -> [f32; CHANNELS] {
    QUIET.map(|quiet| quiet * rng.random_range(0.998..1.002))
}
