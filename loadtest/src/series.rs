//! Numbers over time: quantiles, means, slopes. Pure.

/// The value below which the part `q` of `sorted` lies (nearest rank); `None` of nothing.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[rank.saturating_sub(1).min(last)])
}

/// The mean; `None` of nothing.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values
        .into_iter()
        .fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The slope of the least-squares line through points `(x, y)`; `None` where all stand
/// at one `x`.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let mean_x = mean(points.iter().map(|point| point.0))?;
    let mean_y = mean(points.iter().map(|point| point.1))?;
    let (products, squares) = points.iter().fold((0.0, 0.0), |(xy, xx), (x, y)| {
        let dx = x - mean_x;
        (xy + dx * (y - mean_y), xx + dx * dx)
    });
    (squares > 0.0).then(|| products / squares)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(50.0));
        assert_eq!(quantile(&values, 0.99), Some(99.0));
        assert_eq!(quantile(&values, 1.0), Some(100.0));
        assert_eq!(quantile(&values[..1], 0.0), Some(1.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn no_line_goes_through_one_place() {
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(mean([]), None);
    }

    proptest! {
        #[test]
        fn a_line_has_its_own_slope(a in -100.0..100.0_f64, b in -100.0..100.0_f64, n in 2..50_i32) {
            let points: Vec<_> = (0..n).map(f64::from).map(|x| (x, a * x + b)).collect();
            prop_assert!((slope(&points).unwrap() - a).abs() < 1e-6);
        }
    }
}
