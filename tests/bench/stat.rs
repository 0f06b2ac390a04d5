//! Medians and quartiles.

/// A median and its quartiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The middle value.
    pub(crate) median: f64,
    /// First quartile.
    pub(crate) low: f64,
    /// Third quartile.
    pub(crate) high: f64,
}

impl Spread {
    /// The spread of `values`, none if there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: at(&sorted, 0.5)?,
            low: at(&sorted, 0.25)?,
            high: at(&sorted, 0.75)?,
        })
    }
}

/// The value below which `share` (0 to 1) of `values` lies, none if there are none.
pub(crate) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    at(&sorted, share)
}

/// Interpolates between the two neighbours of the place that `share` names.
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list that fits memory"
    )]
    let (below, above) = (
        *sorted.get(place.floor() as usize)?,
        *sorted.get(place.ceil() as usize)?,
    );
    Some((above - below).mul_add(place.fract(), below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_its_quartiles() {
        let spread = Spread::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(
            spread,
            Spread {
                median: 3.0,
                low: 2.0,
                high: 4.0
            }
        );
    }

    #[test]
    fn a_place_between_two_values_is_interpolated() {
        assert_eq!(quantile(&[1.0, 2.0], 0.5), Some(1.5));
    }

    #[test]
    fn nothing_has_no_spread() {
        assert_eq!(Spread::of(&[]), None);
    }
}
