//! Samples: which part of the exchanges is captured.

use super::select::Chance;
use crate::config::{Sample, SampleBy, plain_path};
use crate::gate::Request;

/// What a rate is a part of.
const MILLION: u64 = 1_000_000;

/// Tells whether an exchange is in the sample.
///
/// What `by` names is wholly in or wholly out, and stays in when the rate grows. A request without it, and every request
/// where there is no `by`, counts by itself, with the number that was drawn.
pub(super) fn keeps(sample: &Sample, request: &Request<'_>, chance: &Chance<'_>) -> bool {
    if u64::from(sample.per_million) >= MILLION {
        return true;
    }
    let Chance { key, draw, principal } = *chance;
    let hash = |value: &[u8]| hash(value, key);
    let place = match &sample.by {
        None => None,
        Some(SampleBy::Header(name)) => request.pairs.first(name.as_bytes()).map(hash),
        Some(SampleBy::Cookie(name)) => cookie(request, name.as_bytes()).map(hash),
        Some(SampleBy::Principal) => (!principal.is_empty()).then(|| hash(principal)),
        Some(SampleBy::Path) => Some(hash(plain_path(request.path()).as_bytes())),
    };
    is_within(place.unwrap_or(draw), sample.per_million)
}

/// Tells whether `place`, among all numbers, is within the first `per_million`.
fn is_within(place: u64, per_million: u32) -> bool {
    // The place times a million is below 2^84: nothing wraps.
    let scaled = u128::from(place).wrapping_mul(u128::from(MILLION)) >> u64::BITS;
    scaled < u128::from(per_million)
}

/// Places a value.
///
/// Shape: the first 8 bytes, little endian, of the value's BLAKE3, keyed by the BLAKE3 of `reprise samples` that is keyed
/// by `key`: what a client sees of tokens tells nothing of it.
fn hash(value: &[u8], key: &[u8; 32]) -> u64 {
    let placing = blake3::keyed_hash(key, b"reprise samples");
    let hash = blake3::keyed_hash(placing.as_bytes(), value);
    let low = hash.as_bytes().first_chunk::<8>();
    low.map_or(0, |low| u64::from_le_bytes(*low))
}

/// Finds the first value of a cookie.
fn cookie<'a>(request: &Request<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = request.pairs.filter(|(each, _)| *each == b"cookie");
    lines.find_map(|(_, line)| {
        let mut cookies = line.split(|byte| *byte == b';');
        cookies.find_map(|each| each.trim_ascii_start().strip_prefix(name)?.strip_prefix(b"="))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::write_pairs;
    use alloc::format;
    use alloc::vec;
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: [u8; 32] = [7; 32];

    fn kept(per_million: u32, by: Option<SampleBy>, headers: &[(&str, &str)], draw: u64, principal: &[u8]) -> bool {
        let mut map = vec![];
        write_pairs(
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut map,
        );
        let chance = Chance {
            key: &KEY,
            draw,
            principal,
        };
        keeps(&Sample { per_million, by }, &Request::read(&map), &chance)
    }

    #[test]
    fn all_and_nothing_do_not_draw() {
        for draw in [0, 1 << 63, u64::MAX] {
            assert!(kept(1_000_000, None, &[], draw, b""));
            assert!(!kept(0, None, &[], draw, b""));
        }
    }

    #[test]
    fn a_draw_is_kept_below_the_rate() {
        let half = 500_000;
        assert!(kept(half, None, &[], (1 << 63) - 1, b""));
        assert!(!kept(half, None, &[], 1 << 63, b""));
        assert!(!kept(999_999, None, &[], u64::MAX, b""));
        assert!(kept(1, None, &[], 0, b""));
    }

    /// Counts kept draws of two for one value of what the sample goes by; 1 would say that it is torn apart.
    fn count(by: &SampleBy, headers: &[(&str, &str)], principal: &str) -> usize {
        let draws = [0, u64::MAX];
        let kept = draws.map(|draw| kept(500_000, Some(by.clone()), headers, draw, principal.as_bytes()));
        kept.into_iter().filter(|kept| *kept).count()
    }

    #[test]
    fn one_session_is_wholly_in_or_wholly_out() {
        let mut seen = vec![];
        for id in 0..64 {
            let (cookie, path, name) = (format!("a=1; sid=s{id}; sid=x"), format!("/p{id}?q"), format!("s{id}"));
            seen.push([
                count(&SampleBy::Cookie("sid".into()), &[("cookie", &cookie)], ""),
                count(&SampleBy::Header("x-sid".into()), &[("x-sid", &name)], ""),
                count(&SampleBy::Path, &[(":path", &path)], ""),
                count(&SampleBy::Principal, &[], &name),
            ]);
        }
        let all: Vec<usize> = seen.iter().flatten().copied().collect();
        assert!(all.contains(&0) && all.contains(&2) && !all.contains(&1), "{all:?}");
        // The same value is in the same place wherever it stands.
        assert!(
            seen.iter()
                .all(|[cookie, header, _, principal]| cookie == header && header == principal)
        );
    }

    #[test]
    fn what_has_no_session_counts_by_itself() {
        assert_eq!(
            count(&SampleBy::Cookie("sid".into()), &[("cookie", "xsid=1; a")], ""),
            1
        );
        assert_eq!(count(&SampleBy::Header("x-sid".into()), &[("x", "y")], ""), 1);
        assert_eq!(count(&SampleBy::Principal, &[], ""), 1);
    }

    #[test]
    fn the_place_of_a_value_is_fixed_for_ever() {
        // Another version must not tear sessions apart.
        assert_eq!(hash(b"s1", &KEY), 5_239_610_916_211_905_763);
    }

    #[test]
    fn without_the_key_nobody_can_tell_what_is_in() {
        let places = [[1; 32], [2; 32]].map(|key| hash(b"s1", &key));
        assert_ne!(places[0], places[1]);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn what_is_in_stays_in_when_the_rate_grows(place: u64, rate in 0_u32..=1_000_000, more in 0_u32..=1_000_000) {
            let grown = rate.saturating_add(more).min(1_000_000);
            assert!(!is_within(place, rate) || is_within(place, grown));
        }

        #[test]
        fn a_sample_has_about_its_share(rate in 50_000_u32..950_000, seed: u32) {
            let kept = (0..2000_u32).filter(|at| is_within(hash(format!("{seed}-{at}").as_bytes(), &KEY), rate)).count();
            let share = f64::from(u32::try_from(kept).unwrap()) / 2000.0;
            assert!((share - f64::from(rate) / 1e6).abs() < 0.07, "{share}");
        }
    }
}
