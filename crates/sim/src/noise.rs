//! Random numbers for many pixels at once.
//!
//! Gaussian numbers are drawn once into a table; each row of a frame takes a piece of
//! it from a random place. That costs a hundredth of drawing each, and a row of noise
//! is repeated too seldom for any reconstruction to see.

use rand::{Rng, RngExt};

/// Numbers in the table: 512 kB, which stay in the cache.
const TABLE: usize = 1 << 18;

/// A table's number of 1 standard deviation.
pub(crate) const UNIT: f32 = 1024.0;

/// Gaussian numbers in units of 1/[`UNIT`] standard deviations.
pub(crate) struct Noise {
    table: Vec<i16>,
}

impl Noise {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        let table = (0..TABLE)
            .map(|_| (gaussian(rng) * UNIT).round() as i16)
            .collect();
        Self { table }
    }

    /// `length` numbers in a row, from a random place.
    pub(crate) fn take(&self, rng: &mut impl Rng, length: usize) -> &[i16] {
        let start = rng.random_range(0..=self.table.len() - length);
        &self.table[start..start + length]
    }
}

/// One standard normal number (Box and Muller, 1958), within 6 standard deviations.
fn gaussian(rng: &mut impl Rng) -> f32 {
    // 1 - [0, 1) is never 0, so that the logarithm exists.
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    let angle = std::f32::consts::TAU * rng.random::<f32>();
    (radius * angle.cos()).clamp(-6.0, 6.0)
}

/// A Poisson number of the given mean, at most 1000 (Knuth, TAOCP 2 §3.4.1).
pub(crate) fn poisson(rng: &mut impl Rng, mean: f64) -> u32 {
    let mut left = mean;
    let mut count = 0;
    loop {
        left += (1.0 - rng.random::<f64>()).ln();
        if left < 0.0 || count == 1000 {
            return count;
        }
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_table_is_standard_normal() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let noise = Noise::new(&mut rng);
        let values = noise.table.iter().map(|z| f64::from(*z) / f64::from(UNIT));
        let count = noise.table.len() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|z| z * z).sum::<f64>() / count;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
        assert_eq!(noise.take(&mut rng, TABLE).len(), TABLE);
    }

    #[test]
    fn poisson_numbers_have_their_mean_and_variance() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let draws: Vec<f64> = (0..20_000)
            .map(|_| f64::from(poisson(&mut rng, 6.0)))
            .collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 6.0).abs() < 0.1, "{mean}");
        assert!((variance - 6.0).abs() < 0.3, "{variance}");
        assert_eq!(poisson(&mut rng, 0.0), 0);
    }
}
