//! Parts of a whole.

use super::Kind;
use crate::config::error::{Place, Problems};
use serde_json::Value;

/// What a rate is counted in.
const MILLION: u32 = 1_000_000;

/// A number from 0 to 1, read as so many of a million.
pub(in crate::config) struct Rate;

/// Counts the millionths of `rate`; none if it is outside 0 to 1, or above 0 and still less than a millionth.
fn per_million(rate: f64) -> Option<u32> {
    if !(0.0..=1.0).contains(&rate) {
        return None;
    }
    // The nearest of all that there are: a cast would round in silence.
    let wanted = rate * f64::from(MILLION) + 0.5;
    let (mut low, mut high) = (0, MILLION);
    while low < high {
        let middle = low.midpoint(high).saturating_add(low.midpoint(high).eq(&low).into());
        if f64::from(middle) <= wanted {
            low = middle;
        } else {
            high = middle.saturating_sub(1);
        }
    }
    (low > 0 || rate == 0.0).then_some(low)
}

impl Kind for Rate {
    type Out = u32;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<u32> {
        let found = value.as_f64().and_then(per_million);
        if found.is_none() {
            problems.refuse(
                place,
                value,
                format_args!("is neither 0 nor a number between 0.000001 and 1"),
            );
        }
        found
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "number", "minimum": 0, "maximum": 1})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &u32) -> Option<Value> {
        Some((f64::from(*out) / f64::from(MILLION)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_rate_is_counted_in_millionths() {
        for (rate, want) in [
            (0.0, Some(0)),
            (1.0, Some(MILLION)),
            (0.5, Some(500_000)),
            (0.1, Some(100_000)),
            (0.000_001, Some(1)),
            (0.999_999, Some(999_999)),
            (0.000_000_1, None),
            (1.000_001, None),
            (-0.5, None),
            (f64::NAN, None),
        ] {
            assert_eq!(per_million(rate), want, "{rate}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn every_millionth_is_read_as_itself(count in 1..=MILLION) {
            assert_eq!(per_million(f64::from(count) / f64::from(MILLION)), Some(count));
        }
    }
}
