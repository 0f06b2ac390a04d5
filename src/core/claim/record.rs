//! The record: what a response leaves behind, ready to be sent again.

use super::Fence;
use crate::fingerprint::Digest;
use crate::http::len_u32;
use crate::id::Tag;
use crate::time::MonoMillis;
use alloc::vec::Vec;

const VERSION: u8 = 1;
const FIXED_BYTES: usize = 76;

/// What a record says besides its digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The whole response is here.
    Response,
    /// Status and `location` are, the rest was not kept.
    Tombstone,
    /// Digests only: the outcome is unknown.
    Unknown,
}

/// A record, as borrowed from its bytes.
///
/// Shape: version u8 = 1 | kind u8 | status u16 | slot u8 | zero u8 | epoch u16 | seq u32 | tag 16 | head 16 | body digest
/// 16 | expiry ms u64 | pairs length u32 | body length u32 | pairs in the host's serialised form | body; little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it says.
    pub kind: Kind,
    /// The first response's status; 0 if there was none.
    pub status: u16,
    /// The claim that wrote it. It counts only while the bucket's way has the same fence.
    pub fence: Fence,
    /// The key.
    pub tag: Tag,
    /// The first request's head.
    pub head: Digest,
    /// The first request's body.
    pub body_digest: Digest,
    /// When it is absent again.
    pub expiry: MonoMillis,
    /// Headers in the host's serialised form.
    pub pairs: &'a [u8],
    /// The body's bytes.
    pub body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record; none if the bytes are not a whole one of this version.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<FIXED_BYTES>()?;
        let [version, kind, t0, t1, slot, _zero, e0, e1, rest_fixed @ ..] = fixed;
        let (seq, fixed) = rest_fixed.split_first_chunk::<4>()?;
        let (tag, fixed) = fixed.split_first_chunk::<16>()?;
        let (head, fixed) = fixed.split_first_chunk::<16>()?;
        let (body_digest, fixed) = fixed.split_first_chunk::<16>()?;
        let (expiry, fixed) = fixed.split_first_chunk::<8>()?;
        let (pairs_len, fixed) = fixed.split_first_chunk::<4>()?;
        let body_len: &[u8; 4] = fixed.first_chunk()?;
        let (pairs, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*pairs_len)).ok()?)?;
        let body = rest.get(..usize::try_from(u32::from_le_bytes(*body_len)).ok()?)?;
        if *version != VERSION {
            return None;
        }
        Some(Self {
            kind: kind_of(*kind)?,
            status: u16::from_le_bytes([*t0, *t1]),
            fence: Fence {
                slot: *slot,
                epoch: u16::from_le_bytes([*e0, *e1]),
                seq: u32::from_le_bytes(*seq),
            },
            tag: Tag(*tag),
            head: *head,
            body_digest: *body_digest,
            expiry: MonoMillis(u64::from_le_bytes(*expiry)),
            pairs,
            body,
        })
    }

    /// Writes the record to bytes that [`Record::read`] reads.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let size = FIXED_BYTES
            .saturating_add(self.pairs.len())
            .saturating_add(self.body.len());
        let mut out = Vec::with_capacity(size);
        out.push(VERSION);
        out.push(number_of(self.kind));
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&[self.fence.slot, 0]);
        out.extend_from_slice(&self.fence.epoch.to_le_bytes());
        out.extend_from_slice(&self.fence.seq.to_le_bytes());
        out.extend_from_slice(&self.tag.0);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&self.body_digest);
        out.extend_from_slice(&self.expiry.0.to_le_bytes());
        out.extend_from_slice(&len_u32(self.pairs.len()).to_le_bytes());
        out.extend_from_slice(&len_u32(self.body.len()).to_le_bytes());
        out.extend_from_slice(self.pairs);
        out.extend_from_slice(self.body);
        out
    }
}

const fn kind_of(number: u8) -> Option<Kind> {
    match number {
        1 => Some(Kind::Response),
        2 => Some(Kind::Tombstone),
        3 => Some(Kind::Unknown),
        _ => None,
    }
}

const fn number_of(kind: Kind) -> u8 {
    match kind {
        Kind::Response => 1,
        Kind::Tombstone => 2,
        Kind::Unknown => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn record() -> Record<'static> {
        Record {
            kind: Kind::Response,
            status: 201,
            fence: Fence {
                slot: 1,
                epoch: 2,
                seq: 3,
            },
            tag: Tag([4; 16]),
            head: [5; 16],
            body_digest: [6; 16],
            expiry: MonoMillis(7),
            pairs: b"pairs",
            body: b"body",
        }
    }

    #[test]
    fn a_record_reads_back() {
        for kind in [Kind::Response, Kind::Tombstone, Kind::Unknown] {
            let bytes = Record { kind, ..record() }.write();
            assert_eq!(Record::read(&bytes), Some(Record { kind, ..record() }));
        }
    }

    #[test]
    fn todays_bytes_have_the_promised_places() {
        let bytes = record().write();
        assert_eq!(bytes.len(), FIXED_BYTES + 9);
        assert_eq!(&bytes[..12], &[1, 1, 201, 0, 1, 0, 2, 0, 3, 0, 0, 0]);
        assert_eq!(&bytes[FIXED_BYTES - 8..], b"\x05\0\0\0\x04\0\0\0pairsbody");
    }

    #[test]
    fn bytes_cut_short_or_of_another_version_are_no_record() {
        let mut bytes = record().write();
        for len in 0..bytes.len() {
            assert_eq!(Record::read(&bytes[..len]), None);
        }
        bytes[0] = 2;
        assert_eq!(Record::read(&bytes), None);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _record = Record::read(&bytes);
        }
    }
}
