//! Tracks of particles, as the camera sees them.
//!
//! Electrons drift to the GEMs, diffuse on the way and give light there: whatever the
//! particle was, the camera sees a line or a point smeared by a gaussian.

use rand::{Rng, RngExt};

use crate::config::FrameSize;
use crate::truth::{TrackKind, TrackTruth};

/// Counts per keV in the middle of the frame.
const LIGHT_YIELD: f32 = 1700.0;

/// Energy of the X rays of 55Fe in keV.
const IRON_KEV: f32 = 5.9;

/// One track before it is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Track {
    kind: TrackKind,
    pub(crate) begin: (f32, f32),
    pub(crate) end: (f32, f32),
    energy_kev: f32,
    pub(crate) sigma: f32,
    /// Counts of the whole light in the middle of the frame.
    pub(crate) light: f32,
}

impl Track {
    pub(crate) fn spot(at: (f32, f32), energy_kev: f32, sigma: f32) -> Self {
        Self {
            kind: TrackKind::Spot,
            begin: at,
            end: at,
            energy_kev,
            sigma,
            light: energy_kev * LIGHT_YIELD,
        }
    }

    pub(crate) fn segment(begin: (f32, f32), end: (f32, f32), energy_kev: f32, sigma: f32) -> Self {
        Self {
            kind: TrackKind::Segment,
            begin,
            end,
            energy_kev,
            sigma,
            light: energy_kev * LIGHT_YIELD,
        }
    }

    /// An X ray of 55Fe somewhere in the frame.
    pub(crate) fn iron(size: FrameSize, rng: &mut impl Rng) -> Self {
        Self::spot(somewhere(size, rng), IRON_KEV, diffusion(size, rng))
    }

    /// A particle of the natural radioactivity: a spot, or a segment of up to a fifth of
    /// the frame with an energy that goes with its length.
    pub(crate) fn natural(size: FrameSize, rng: &mut impl Rng) -> Self {
        if rng.random_bool(0.4) {
            let energy_kev = rng.random_range(2.0..20.0);
            return Self::spot(somewhere(size, rng), energy_kev, diffusion(size, rng));
        }
        let begin = somewhere(size, rng);
        let length = size.columns as f32 * rng.random_range(0.03..0.2);
        let angle = rng.random_range(0.0..std::f32::consts::TAU);
        let end = (
            begin.0 + length * angle.sin(),
            begin.1 + length * angle.cos(),
        );
        let energy_kev = 10.0 + length * rng.random_range(0.1..0.6);
        Self::segment(begin, end, energy_kev, diffusion(size, rng))
    }

    /// Number of points that stand for the line: two to a width.
    pub(crate) fn steps(&self) -> usize {
        let (dy, dx) = (self.end.0 - self.begin.0, self.end.1 - self.begin.1);
        (dy.hypot(dx) * 2.0 / self.sigma) as usize + 1
    }

    /// The points that stand for the line.
    pub(crate) fn points(&self) -> impl Iterator<Item = (f32, f32)> + use<> {
        let (begin, end, steps) = (self.begin, self.end, self.steps());
        (0..steps).map(move |step| {
            let along = (step as f32 + 0.5) / steps as f32;
            (
                begin.0 + (end.0 - begin.0) * along,
                begin.1 + (end.1 - begin.1) * along,
            )
        })
    }

    pub(crate) fn truth(&self, counts: u64) -> TrackTruth {
        TrackTruth {
            kind: self.kind,
            begin: self.begin,
            end: self.end,
            energy_kev: self.energy_kev,
            sigma: self.sigma,
            light: self.light,
            counts,
        }
    }
}

fn somewhere(size: FrameSize, rng: &mut impl Rng) -> (f32, f32) {
    (
        rng.random_range(0.0..size.rows as f32),
        rng.random_range(0.0..size.columns as f32),
    )
}

/// Diffusion by the drift, in pixels; narrower in tiny frames, so that a spot stays one.
fn diffusion(size: FrameSize, rng: &mut impl Rng) -> f32 {
    rng.random_range(4.0..7.0_f32)
        .min(size.columns as f32 / 24.0)
        .max(1.0)
}
