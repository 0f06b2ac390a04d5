//! Header maps as the host serialises them, walked in place.

use alloc::vec::Vec;

/// A header map in the host's serialised form.
///
/// Walking it in place costs no allocation, and names and values may be any bytes.
///
/// Shape: `u32le n | n × (u32le name length, u32le value length) | n × (name | 0 | value | 0)`.
///
/// Source: proxy-wasm ABI 0.2.1, `proxy_get_header_map_pairs`, read 2026-11.
#[derive(Debug, Clone, Copy)]
pub struct Pairs<'a> {
    sizes: &'a [u8],
    data: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads the front of `bytes`; a map cut short yields the pairs that are whole.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let Some((count, rest)) = take_u32(bytes) else {
            return Self { sizes: &[], data: &[] };
        };
        let sizes_len = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(8);
        let (sizes, data) = rest.split_at_checked(sizes_len).unwrap_or((&[], &[]));
        Self { sizes, data }
    }

    /// Finds the first value of `name`, which is in lower case.
    #[must_use]
    pub fn first(mut self, name: &[u8]) -> Option<&'a [u8]> {
        self.find_map(|(each, value)| (each == name).then_some(value))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_len, rest) = take_u32(self.sizes)?;
        let (value_len, sizes) = take_u32(rest)?;
        let (name, rest) = take_text(self.data, name_len)?;
        let (value, data) = take_text(rest, value_len)?;
        *self = Self { sizes, data };
        Some((name, value))
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*head), rest))
}

fn take_text(bytes: &[u8], len: u32) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    let (_zero, rest) = rest.split_first()?;
    Some((text, rest))
}

/// Appends `pairs` to `out` in the host's serialised form, see [`Pairs`].
pub fn write_pairs<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone, out: &mut Vec<u8>) {
    out.extend_from_slice(&len_u32(pairs.clone().count()).to_le_bytes());
    for (name, value) in pairs.clone() {
        out.extend_from_slice(&len_u32(name.len()).to_le_bytes());
        out.extend_from_slice(&len_u32(value.len()).to_le_bytes());
    }
    for (name, value) in pairs {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
}

/// Writes `map` again without the headers that `leaves` names; none if there are none of them.
#[must_use]
pub fn without(map: &[u8], leaves: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let pairs = Pairs::new(map);
    if !pairs.into_iter().any(|(name, _)| leaves(name)) {
        return None;
    }
    let kept: Vec<_> = pairs.filter(|(name, _)| !leaves(name)).collect();
    let mut out = Vec::with_capacity(map.len());
    write_pairs(kept.into_iter(), &mut out);
    Some(out)
}

/// Tells whether a header belongs to one connection, and not to the exchange.
///
/// Source: RFC 9110 §7.6.1.
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"te" | b"trailer" | b"transfer-encoding" | b"upgrade"
    )
}

/// The value of `connection`: it names more headers that belong to the connection.
pub(crate) struct Connection<'a>(&'a [u8]);

impl<'a> Connection<'a> {
    /// Finds it among all headers.
    pub(crate) fn of(all: Pairs<'a>) -> Self {
        Self(all.first(b"connection").unwrap_or_default())
    }

    /// Tells whether it names `header`.
    pub(crate) fn names(&self, header: &[u8]) -> bool {
        !self.0.is_empty() && has_token(self.0, header)
    }
}

/// Counts bytes as the 32-bit numbers that the host speaks; a wasm memory holds no more.
pub(crate) fn len_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Tells whether `value` is a comma-separated list that has `token`, ignoring case.
pub(crate) fn has_token(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|each| each.trim_ascii().eq_ignore_ascii_case(token))
}

/// Tells whether a body is encoded, so that it cannot be read here.
#[must_use]
pub fn is_encoded(mut pairs: Pairs<'_>) -> bool {
    pairs.any(|(name, value)| {
        let plain = value.trim_ascii();
        name.eq_ignore_ascii_case(b"content-encoding") && !plain.is_empty() && !plain.eq_ignore_ascii_case(b"identity")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn written(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = vec![];
        write_pairs(pairs.iter().copied(), &mut out);
        out
    }

    #[test]
    fn a_map_reads_back_in_order_with_duplicates_and_any_bytes() {
        let pairs: &[(&[u8], &[u8])] = &[(b":status", b"200"), (b"x", b"\xff\0"), (b"x", b""), (b"", b"y")];
        assert_eq!(Pairs::new(&written(pairs)).collect::<Vec<_>>(), pairs);
    }

    #[test]
    fn an_empty_map_has_no_pairs() {
        assert_eq!(Pairs::new(&written(&[])).count(), 0);
        assert_eq!(Pairs::new(&[]).count(), 0);
    }

    #[test]
    fn a_map_cut_short_yields_whole_pairs_only() {
        let bytes = written(&[(b"a", b"1"), (b"b", b"2")]);
        for len in 0..bytes.len() {
            assert!(Pairs::new(&bytes[..len]).count() < 2, "cut at {len}");
        }
    }

    #[test]
    fn headers_are_left_out_by_name() {
        let bytes = written(&[(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]);
        assert_eq!(without(&bytes, |name| name == b"a"), Some(written(&[(b"b", b"2")])));
        assert_eq!(without(&bytes, |name| name == b"c"), None);
    }

    #[test]
    fn the_first_value_of_a_name_is_found() {
        let bytes = written(&[(b"a", b"1"), (b"b", b"2"), (b"b", b"3")]);
        assert_eq!(Pairs::new(&bytes).first(b"b"), Some(&b"2"[..]));
        assert_eq!(Pairs::new(&bytes).first(b"c"), None);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes: Vec<u8>) {
            let _count = Pairs::new(&bytes).count();
        }

        #[test]
        fn any_pairs_read_back(pairs: Vec<(Vec<u8>, Vec<u8>)>) {
            let mut out = vec![];
            write_pairs(pairs.iter().map(|(name, value)| (&name[..], &value[..])), &mut out);
            let read: Vec<_> = Pairs::new(&out).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            assert_eq!(read, pairs);
        }
    }
}
