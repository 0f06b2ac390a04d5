//! Before the run: answers are recorded, stores are filled, and every filter proves that it acts.

use crate::key::{Keys, LARGE_POOL_KEYS, POOL_KEYS};
use crate::load::{Generator, Load, Stop};
use crate::message::Method;
use crate::row::{self, Row, Variant};
use std::io;

/// Keys that prove that a filter acts: few enough to be repeated before they expire, even on a busy machine.
const PROOF_KEYS: u64 = 256;

/// The last keys of those that fill a store, which prove that they stay there.
const FILL_PROOF_KEYS: u64 = 4096;

/// Records the pools' answers, fills the stores of the growth rows, and proves that each filter acts: a repeat may not
/// reach the upstream.
///
/// Returns the filters that did not, with what was seen instead. Without this proof, a filter that does nothing would be
/// the fastest of all.
pub(crate) fn run(generator: &mut Generator, rows: &[Row], variants: &[Variant]) -> io::Result<Vec<(Variant, String)>> {
    let mut mute = Vec::new();
    for (variant, method) in proofs(rows, variants) {
        let load = Load {
            keys: pool(method),
            ..row::load(variant, method, variants)
        };
        let count = count(variant, method);
        for (is_stored, when) in [(false, "first requests"), (true, "repeats")] {
            generator.rewind(0);
            let slice = generator.saturate(Load { is_stored, ..load }, Stop::Count(count))?;
            mute.extend(slice.void.map(|void| (variant, format!("{when}: {void}"))));
        }
    }
    for variant in variants.iter().filter(|variant| 0 < variant.fill_keys()) {
        mute.extend(fill(generator, *variant, variants)?.map(|void| (*variant, void)));
    }
    Ok(mute)
}

/// What each filter is asked for its proof, each once. The filters of no row are asked as the other checks ask.
fn proofs(rows: &[Row], variants: &[Variant]) -> Vec<(Variant, Method)> {
    let asked = rows
        .iter()
        .flat_map(|row| [(row.own, row.method), (row.base, row.method)]);
    let others = variants.iter().map(|variant| (*variant, Method::Post));
    let mut proofs = Vec::new();
    for (variant, method) in asked.chain(others) {
        let is_keyed = variant.keeps_keys() && method != Method::Get;
        if is_keyed && !proofs.contains(&(variant, method)) {
            proofs.push((variant, method));
        }
    }
    proofs
}

const fn pool(method: Method) -> Keys {
    match method {
        Method::LargePost | Method::LargeAnswer => Keys::LargePool,
        _ => Keys::Pool,
    }
}

const fn count(variant: Variant, method: Method) -> u64 {
    match (variant, method) {
        (Variant::Answer, Method::LargeAnswer) => LARGE_POOL_KEYS,
        (Variant::Answer, _) => POOL_KEYS,
        _ => PROOF_KEYS,
    }
}

/// Fills a store through its filter; tells what is wrong with it, if anything is.
fn fill(generator: &mut Generator, variant: Variant, variants: &[Variant]) -> io::Result<Option<String>> {
    let load = Load {
        keys: Keys::Fill,
        ..row::load(variant, Method::Fill, variants)
    };
    let filled = generator.saturate(load, Stop::Count(variant.fill_keys()))?;
    generator.rewind(FILL_PROOF_KEYS);
    let is_stored = true;
    let proof = generator.saturate(Load { is_stored, ..load }, Stop::Count(FILL_PROOF_KEYS))?;
    Ok(filled
        .void
        .or(proof.void)
        .map(|void| format!("filling its store: {void}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_is_proven_with_what_it_is_asked_and_once() {
        let rows: Vec<_> = row::ROWS
            .into_iter()
            .filter(|row| row.name.starts_with("answer"))
            .collect();
        let variants = [Variant::Plain, Variant::Answer];
        let wanted = [(Variant::Answer, Method::Post), (Variant::Answer, Method::LargeAnswer)];
        assert_eq!(proofs(&rows, &variants), wanted);
    }

    #[test]
    fn the_filter_of_a_get_is_proven_by_posts() {
        let rows: Vec<_> = row::ROWS.into_iter().filter(|row| row.name == "untouched").collect();
        let variants = [Variant::FirstSeen, Variant::Plain, Variant::Noop];
        assert_eq!(proofs(&rows, &variants), [(Variant::FirstSeen, Method::Post)]);
    }
}
