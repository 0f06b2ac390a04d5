//! The way back: sealed values in the places of their tokens, for replays.

use crate::http::{Pairs, write_pairs};
use crate::wire::{Half, Sealed};
use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::token::has_token;

/// Puts what `sealed` keeps into the places of its tokens in `half`; other tokens stay.
///
/// A body in which no token is left is marked as not redacted: it is the one that was sent.
pub fn unseal(half: &mut Half, sealed: &[Sealed]) {
    if sealed.is_empty() {
        return;
    }
    unseal_map(&mut half.pairs, sealed);
    unseal_map(&mut half.trailers, sealed);
    if half.redacted == "parts" {
        half.body = unsealed(&half.body, sealed).into_owned();
        if !has_token(&half.body) {
            half.redacted.clear();
            half.body_hash.clear();
        }
    }
}

fn unseal_map(map: &mut Vec<u8>, sealed: &[Sealed]) {
    if !has_token(map) {
        return;
    }
    let pairs: Vec<(&[u8], Cow<'_, [u8]>)> = Pairs::new(map)
        .map(|(name, value)| (name, unsealed(value, sealed)))
        .collect();
    let mut written = Vec::with_capacity(map.len());
    write_pairs(pairs.iter().map(|(name, value)| (*name, value.as_ref())), &mut written);
    *map = written;
}

/// Puts values into the places of their tokens; those of JSON were whole, with their quotes.
#[must_use]
pub fn unsealed<'a>(text: &'a [u8], sealed: &[Sealed]) -> Cow<'a, [u8]> {
    let mut shown = Cow::Borrowed(text);
    for each in sealed.iter().filter(|each| has_token(&each.token)) {
        let quoted = [b"\"", each.token.as_slice(), b"\""].concat();
        for token in [quoted.as_slice(), &each.token] {
            if let Some(next) = replaced(&shown, token, &each.value) {
                shown = Cow::Owned(next);
            }
        }
    }
    shown
}

/// Puts `value` in the place of every `token`; none if there is none.
fn replaced(text: &[u8], token: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(token.len()).position(|each| each == token) {
        let (before, after) = rest.split_at_checked(at)?;
        out.extend_from_slice(before);
        out.extend_from_slice(value);
        rest = after.strip_prefix(token)?;
    }
    if rest.len() == text.len() {
        return None;
    }
    out.extend_from_slice(rest);
    Some(out)
}
