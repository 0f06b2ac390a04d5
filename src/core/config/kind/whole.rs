//! Whole numbers within bounds.

use super::Kind;
use crate::config::error::{Place, Problems};
use alloc::format;
use alloc::string::String;
use core::ops::RangeInclusive;
use serde_json::{Number, Value};

/// A whole number.
pub(in crate::config) struct Whole {
    range: RangeInclusive<u64>,
    step: u64,
}

/// Allows the whole numbers in `range`.
pub(in crate::config) const fn whole(range: RangeInclusive<u64>) -> Whole {
    Whole { range, step: 1 }
}

/// Allows the multiples of `step` in `range`.
pub(in crate::config) const fn in_steps(step: u64, range: RangeInclusive<u64>) -> Whole {
    Whole { range, step }
}

impl Whole {
    fn problem(&self, found: u64) -> Option<String> {
        let (min, max) = (self.range.start(), self.range.end());
        if !self.range.contains(&found) && min == max {
            return Some(format!("{found} is not {min}"));
        }
        if !self.range.contains(&found) {
            return Some(format!("{found} is not between {min} and {max}"));
        }
        (found.checked_rem(self.step) != Some(0)).then(|| format!("{found} is not a multiple of {}", self.step))
    }
}

impl Kind for Whole {
    type Out = u64;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<u64> {
        let Some(found) = value.as_number().and_then(to_whole) else {
            let (min, max) = (self.range.start(), self.range.end());
            problems.refuse(
                place,
                value,
                format_args!("is not a whole number between {min} and {max}"),
            );
            return None;
        };
        if let Some(problem) = self.problem(found) {
            problems.add(place, format_args!("{problem}"));
            return None;
        }
        Some(found)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let mut schema =
            serde_json::json!({"type": "integer", "minimum": self.range.start(), "maximum": self.range.end()});
        if self.step > 1
            && let Some(fields) = schema.as_object_mut()
        {
            fields.insert("multipleOf".into(), self.step.into());
        }
        schema
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &u64) -> Option<Value> {
        Some((*out).into())
    }
}

/// Takes a number as a whole one: `5`, `5.0` and `5e0` are the same, since a `Struct` holds only floats.
pub(super) fn to_whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| whole_float(number.as_f64()?))
}

/// Takes `float` apart instead of casting it, so that nothing is rounded; none if it has a fraction or does not fit.
fn whole_float(float: f64) -> Option<u64> {
    const FRACTION_BITS: u32 = 52;
    const BIAS: u32 = 1023;
    if float == 0.0 {
        return Some(0);
    }
    let bits = float.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    // A sign makes this too large: what is below zero does not fit.
    let power = u32::try_from(bits >> FRACTION_BITS).ok()?.checked_sub(BIAS)?;
    let digits = fraction | (1 << FRACTION_BITS);
    if let Some(missing) = FRACTION_BITS.checked_sub(power) {
        let is_whole = digits.trailing_zeros() >= missing;
        return is_whole.then(|| digits.checked_shr(missing)).flatten();
    }
    (power < u64::BITS)
        .then(|| digits.checked_shl(power.checked_sub(FRACTION_BITS)?))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the reference")]
    fn check(value: Value, want: Result<u64, &str>) {
        let mut problems = Problems::default();
        let read = in_steps(5, 5..=100).read(&value, &Place::Root, &mut problems);
        let got = problems
            .or(read)
            .map(Option::unwrap)
            .map_err(|errors| errors.to_string());
        assert_eq!(got, want.map_err(|problem| format!("document: {problem}")));
    }

    #[test]
    fn bounds_are_allowed() {
        check(json!(5), Ok(5));
        check(json!(100), Ok(100));
    }

    #[test]
    fn beyond_the_bounds_is_refused() {
        check(json!(4), Err("4 is not between 5 and 100"));
        check(json!(101), Err("101 is not between 5 and 100"));
    }

    #[test]
    fn whole_floats_are_allowed() {
        check(json!(5.0), Ok(5));
        check(serde_json::from_str("1e1").unwrap(), Ok(10));
    }

    #[test]
    fn other_values_are_refused() {
        check(json!(5.5), Err("5.5 is not a whole number between 5 and 100"));
        check(json!(-5), Err("-5 is not a whole number between 5 and 100"));
        check(json!("5"), Err("\"5\" is not a whole number between 5 and 100"));
        check(json!(1e300), Err("1e+300 is not a whole number between 5 and 100"));
    }

    #[test]
    fn a_float_is_whole_without_being_rounded() {
        for (float, want) in [
            (0.0, Some(0)),
            (1.0, Some(1)),
            (3.0, Some(3)),
            (9_007_199_254_740_993.0, Some(9_007_199_254_740_992)),
            (18_446_744_073_709_549_568.0, Some(18_446_744_073_709_549_568)),
            (18_446_744_073_709_551_616.0, None),
            (0.5, None),
            (4_503_599_627_370_495.5, None),
            (-1.0, None),
            (f64::MIN_POSITIVE, None),
            (f64::INFINITY, None),
            (f64::NAN, None),
        ] {
            assert_eq!(whole_float(float), want, "{float}");
        }
    }

    #[test]
    fn steps_are_kept() {
        check(json!(7), Err("7 is not a multiple of 5"));
    }
}
