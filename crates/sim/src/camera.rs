//! The camera: frames of pedestal and noise, and light drawn into them.
//!
//! A pixel without light reads about 100 counts; each has its own pedestal and its own
//! noise of 2 to 4 counts. Arithmetic is on 16-bit integers in slices, so that a frame
//! of 5.3 million pixels costs a few milliseconds.

use std::ops::Range;

use rand::Rng;

use crate::config::FrameSize;
use crate::noise::{Noise, UNIT};
use crate::track::Track;
use crate::truth::TrackTruth;

/// Mean pedestal in counts.
const PEDESTAL: f32 = 100.0;

/// Spread of the pedestals between pixels, in counts.
const PEDESTAL_SPREAD: f32 = 1.0;

/// Mean noise of a pixel and its spread between pixels, in counts.
const SIGMA: (f32, f32) = (2.8, 0.35);

/// Pedestals and noise are kept in units of 1/16 count.
const FRACTION_BITS: u32 = 4;
const FRACTION: f32 = 16.0;

/// Part of the light that the lens loses in the corners of the frame.
const VIGNETTING: f32 = 0.75;

/// A camera with its fixed patterns.
pub(crate) struct Camera {
    size: FrameSize,
    /// Pedestal of each pixel in 1/16 counts, with half a count added for rounding.
    pedestal: Vec<i16>,
    /// Noise of each pixel in 1/1024 counts.
    sigma: Vec<i16>,
    /// Expected counts in the box around a track.
    light: Vec<f32>,
    profiles: (Vec<f32>, Vec<f32>),
}

impl Camera {
    pub(crate) fn new(size: FrameSize, noise: &Noise, rng: &mut impl Rng) -> Self {
        let mut pedestal = Vec::with_capacity(size.pixels());
        let mut sigma = Vec::with_capacity(size.pixels());
        for _ in 0..size.rows {
            let row = noise.take(rng, size.columns).iter();
            pedestal.extend(row.map(|z| {
                let counts = PEDESTAL + PEDESTAL_SPREAD * f32::from(*z) / UNIT + 0.5;
                (counts * FRACTION).round() as i16
            }));
            let row = noise.take(rng, size.columns).iter();
            sigma.extend(row.map(|z| {
                let counts = (SIGMA.0 + SIGMA.1 * f32::from(*z) / UNIT).clamp(2.0, 4.0);
                (counts * 1024.0).round() as i16
            }));
        }
        Self {
            size,
            pedestal,
            sigma,
            light: Vec::new(),
            profiles: (Vec::new(), Vec::new()),
        }
    }

    /// Fills `frame`, row by row, with pedestal and noise.
    pub(crate) fn expose(&self, noise: &Noise, rng: &mut impl Rng, frame: &mut [u16]) {
        let columns = self.size.columns;
        let fixed = self.pedestal.chunks_exact(columns);
        let rows = fixed.zip(self.sigma.chunks_exact(columns));
        for (row, (pedestal, sigma)) in frame.chunks_exact_mut(columns).zip(rows) {
            let noise = noise.take(rng, columns);
            let pixels = row.iter_mut().zip(pedestal).zip(sigma).zip(noise);
            for (((pixel, pedestal), sigma), z) in pixels {
                // 1/1024 counts times 1/1024 deviations, by 65536: 1/16 counts.
                let noise = (i32::from(*sigma).wrapping_mul(i32::from(*z)) >> 16) as i16;
                *pixel = (pedestal.wrapping_add(noise) >> FRACTION_BITS) as u16;
            }
        }
    }

    /// Draws a track into `frame`; gives what came of it.
    pub(crate) fn draw(
        &mut self,
        track: &Track,
        noise: &Noise,
        rng: &mut impl Rng,
        frame: &mut [u16],
    ) -> TrackTruth {
        let reach = 4.0 * track.sigma;
        let rows = span(track.begin.0, track.end.0, reach, 0..self.size.rows);
        let columns = span(track.begin.1, track.end.1, reach, 0..self.size.columns);
        let width = columns.len();
        self.light.clear();
        self.light.resize(rows.len() * width, 0.0);
        for (row, column) in track.points() {
            let part = track.light / track.steps() as f32;
            let near_rows = span(row, row, reach, rows.clone());
            let near_columns = span(column, column, reach, columns.clone());
            profile(&mut self.profiles.0, &near_rows, row, track.sigma);
            profile(&mut self.profiles.1, &near_columns, column, track.sigma);
            let lines = self.light.chunks_exact_mut(width.max(1));
            let lines = lines.skip(near_rows.start - rows.start);
            for (line, high) in lines.zip(&self.profiles.0) {
                let near = &mut line[near_columns.start - columns.start..];
                for (light, wide) in near.iter_mut().zip(&self.profiles.1) {
                    *light += part * high * wide;
                }
            }
        }
        let mut counts = 0;
        for (line, row) in self.light.chunks_exact(width.max(1)).zip(rows) {
            let statistics = noise.take(rng, width);
            let start = row * self.size.columns + columns.start;
            let pixels = frame[start..start + width].iter_mut();
            for (((pixel, light), z), column) in
                pixels.zip(line).zip(statistics).zip(columns.clone())
            {
                let mean = light * self.response(row, column);
                let drawn = mean + mean.sqrt() * f32::from(*z) / UNIT;
                let before = *pixel;
                *pixel = before.saturating_add(drawn.round() as u16);
                counts += u64::from(*pixel - before);
            }
        }
        track.truth(counts)
    }

    /// Part of the light that reaches a pixel: 1 in the middle, less towards the corners.
    fn response(&self, row: usize, column: usize) -> f32 {
        let from_middle = |position: usize, length: usize| {
            let half = length as f32 / 2.0;
            (position as f32 - half) / half
        };
        let (y, x) = (
            from_middle(row, self.size.rows),
            from_middle(column, self.size.columns),
        );
        1.0 - VIGNETTING * (x * x + y * y) / 2.0
    }
}

/// The pixels of `within` that are at most `reach` beyond the stretch from `a` to `b`.
fn span(a: f32, b: f32, reach: f32, within: Range<usize>) -> Range<usize> {
    let low = (a.min(b) - reach).max(0.0) as usize;
    let high = (a.max(b) + reach).max(0.0) as usize + 1;
    let low = low.clamp(within.start, within.end);
    low..high.clamp(low, within.end)
}

/// A gaussian of area 1 around `center`, at each pixel of `range`.
fn profile(values: &mut Vec<f32>, range: &Range<usize>, center: f32, sigma: f32) {
    let height = 1.0 / (sigma * std::f32::consts::TAU.sqrt());
    values.clear();
    values.extend(range.clone().map(|pixel| {
        let z = (pixel as f32 - center) / sigma;
        height * (-0.5 * z * z).exp()
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::TrackKind;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SIZE: FrameSize = FrameSize {
        rows: 256,
        columns: 256,
    };

    fn camera() -> (Camera, Noise, ChaCha8Rng) {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let noise = Noise::new(&mut rng);
        (Camera::new(SIZE, &noise, &mut rng), noise, rng)
    }

    fn sum(frame: &[u16]) -> f64 {
        frame.iter().map(|pixel| f64::from(*pixel)).sum()
    }

    #[test]
    fn each_pixel_has_its_pedestal_and_its_noise() {
        let (camera, noise, mut rng) = camera();
        let frames = 200;
        let mut frame = vec![0; SIZE.pixels()];
        let mut sums = vec![(0.0, 0.0); SIZE.pixels()];
        for _ in 0..frames {
            camera.expose(&noise, &mut rng, &mut frame);
            for (sums, pixel) in sums.iter_mut().zip(&frame) {
                let value = f64::from(*pixel);
                *sums = (sums.0 + value, sums.1 + value * value);
            }
        }
        let count = f64::from(frames);
        let pixels = sums.iter().map(|(sum, squares)| {
            let mean = sum / count;
            (mean, (squares / count - mean * mean).sqrt())
        });
        let all = SIZE.pixels() as f64;
        let mean = pixels.clone().map(|(mean, _)| mean).sum::<f64>() / all;
        let sigma = pixels.clone().map(|(_, sigma)| sigma).sum::<f64>() / all;
        let spread = pixels.map(|(m, _)| (m - mean).powi(2)).sum::<f64>() / all;
        assert!((mean - 100.0).abs() < 0.1, "{mean}");
        // 2.8 counts, and 1/sqrt(12) of rounding.
        assert!((sigma - 2.81).abs() < 0.05, "{sigma}");
        assert!((spread.sqrt() - 1.0).abs() < 0.1, "{spread}");
    }

    #[test]
    fn light_has_its_integral() {
        let (mut camera, noise, mut rng) = camera();
        let mut frame = vec![0; SIZE.pixels()];
        camera.expose(&noise, &mut rng, &mut frame);
        let before = sum(&frame);
        let spot = Track::spot((128.0, 128.0), 5.9, 5.0);
        let truth = camera.draw(&spot, &noise, &mut rng, &mut frame);
        assert_eq!(truth.kind, TrackKind::Spot);
        let added = sum(&frame) - before;
        assert!((added - truth.counts as f64).abs() < 0.5, "exact");
        let expected = f64::from(truth.light);
        assert!((added / expected - 1.0).abs() < 0.05, "{added} {expected}");
    }

    #[test]
    fn corners_lose_light_and_edges_are_safe() {
        let (mut camera, noise, mut rng) = camera();
        let mut frame = vec![0; SIZE.pixels()];
        let mut counts = |track: Track| {
            let truth = camera.draw(&track, &noise, &mut rng, &mut frame);
            truth.counts as f64 / f64::from(truth.light)
        };
        let near_corner = counts(Track::spot((230.0, 230.0), 100.0, 5.0));
        assert!((near_corner - 0.52).abs() < 0.03, "{near_corner}");
        let on_corner = counts(Track::spot((0.0, 0.0), 100.0, 5.0));
        assert!(on_corner < 0.1, "three quarters fall beside: {on_corner}");
        assert!(counts(Track::spot((-900.0, 5000.0), 100.0, 5.0)) == 0.0);
        assert!(counts(Track::segment((-50.0, 20.0), (300.0, 20.0), 100.0, 5.0)) > 0.3);
    }

    #[test]
    fn a_flood_of_light_saturates() {
        let (mut camera, noise, mut rng) = camera();
        let mut frame = vec![65_000; SIZE.pixels()];
        let spark = Track::spot((128.0, 128.0), 1e5, 5.0);
        let truth = camera.draw(&spark, &noise, &mut rng, &mut frame);
        assert_eq!(frame[128 * 256 + 128], u16::MAX);
        assert!((truth.counts as f32) < truth.light / 10.0);
    }
}
