//! Bodies: which rules apply, and what becomes of a body that cannot be read.

use super::hider::{Fields, Hider};
use super::media::Media;
use super::{fields, json, multipart};
use crate::http::{Pairs, is_encoded};
use crate::json::NotJson;
use crate::wire::Half;
use alloc::vec::Vec;

/// A body that a rule is about cannot be read as what it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

impl From<NotJson> for Unreadable {
    fn from(NotJson: NotJson) -> Self {
        Self
    }
}

/// A body as it may be seen; none = as it is.
pub(super) type Shown = Result<Option<Vec<u8>>, Unreadable>;

/// How often a body of no known kind is decoded when it is searched for fields.
const ENCODED_MAX: u32 = 2;

/// Redacts the body of `half`, or leaves it out.
pub(super) fn redact(half: &mut Half, hider: &mut Hider<'_>) {
    let (has_json, has_form) = (hider.pointers().next().is_some(), hider.has_fields(Fields::Form));
    if !(has_json || has_form) || (half.body.is_empty() && half.body_hash.is_empty()) {
        return;
    }
    let media = Media::of(Pairs::new(&half.pairs));
    let reads_json = has_json && may_be_json(&media, &half.body);
    let reads_form = has_form && matches!(media, Media::Form | Media::Multipart(_) | Media::Unknown);
    if !(reads_json || reads_form) {
        return;
    }
    let sealed = hider.sealed_count();
    let shown = if is_whole(half) {
        read(&half.body, &media, reads_json, hider)
    } else {
        Err(Unreadable)
    };
    match shown {
        Ok(None) => {}
        Ok(Some(body)) => {
            half.body_hash = keyed_hash(half, hider.key);
            half.body = body;
            half.redacted = "parts".into();
        }
        Err(Unreadable) => {
            hider.forget_after(sealed);
            half.body_hash = keyed_hash(half, hider.key);
            half.body = Vec::new();
            half.redacted = "whole".into();
        }
    }
}

/// Tells whether pointers into JSON apply to a body.
fn may_be_json(media: &Media, body: &[u8]) -> bool {
    match media {
        Media::Json | Media::Multipart(_) | Media::Unknown => true,
        // Many a server and client sends JSON under another name.
        Media::Form | Media::Opaque => json::begins(body),
    }
}

/// Tells whether the body is all there, and not encoded.
fn is_whole(half: &Half) -> bool {
    let is_all = u64::try_from(half.body.len()).is_ok_and(|len| len >= half.body_len);
    is_all && !half.truncated && !is_encoded(Pairs::new(&half.pairs))
}

fn read(body: &[u8], media: &Media, reads_json: bool, hider: &mut Hider<'_>) -> Shown {
    match media {
        Media::Multipart(boundary) => multipart::redact(body, boundary.as_deref(), hider),
        Media::Json | Media::Opaque => json::redact(body, hider),
        Media::Form if reads_json => json::redact(body, hider),
        Media::Form => {
            let mut out = Vec::with_capacity(body.len());
            Ok(fields::redact(body, Fields::Form, hider, &mut out).then_some(out))
        }
        Media::Unknown => unknown(body, reads_json, hider),
    }
}

/// Reads a body of which nobody says what it is: as JSON if it is that, and else it must hold nothing that is hidden.
fn unknown(body: &[u8], reads_json: bool, hider: &mut Hider<'_>) -> Shown {
    if reads_json {
        let shown = json::redact(body, hider);
        // Without an object or a list in it there is nothing that a pointer could find, whoever reads it.
        if shown.is_ok() || json::may_hold(body, hider) {
            return shown;
        }
    }
    if hider.has_fields(Fields::Form) && fields::mentions(body, Fields::Form, hider, ENCODED_MAX).is_some() {
        return Err(Unreadable);
    }
    Ok(None)
}

/// Keys the hash of the whole body: nobody can find the body by guessing.
///
/// Shape: BLAKE3, keyed, of the 32 bytes of BLAKE3 of the body; empty if not all of it was there and nobody had its hash.
fn keyed_hash(half: &Half, key: &[u8; 32]) -> Vec<u8> {
    let is_all = u64::try_from(half.body.len()).is_ok_and(|len| len >= half.body_len);
    if !half.body_hash.is_empty() {
        return blake3::keyed_hash(key, &half.body_hash).as_bytes().to_vec();
    }
    if !is_all || half.truncated {
        return Vec::new();
    }
    let plain = blake3::hash(&half.body);
    blake3::keyed_hash(key, plain.as_bytes()).as_bytes().to_vec()
}
