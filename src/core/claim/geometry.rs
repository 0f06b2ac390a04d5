//! The geometry: how large the store is, and whether it is made.

use super::bucket::WAYS;
use crate::time::MonoMillis;
use alloc::string::String;

const MAGIC: [u8; 4] = *b"RPR1";
const VERSION: u16 = 1;
/// Bytes of the geometry.
pub const GEOMETRY_BYTES: usize = 32;

/// The size of a store, fixed for the life of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Buckets of 32 ways.
    pub buckets: u32,
    /// When the store was made.
    pub started: MonoMillis,
}

impl Geometry {
    /// Sizes a store for `keys_max` keys.
    #[must_use]
    pub fn new(keys_max: u32, started: MonoMillis) -> Self {
        Self {
            buckets: keys_max.checked_div(u32::from(WAYS)).unwrap_or_default(),
            started,
        }
    }

    /// Counts the keys that fit.
    #[must_use]
    pub fn keys_max(&self) -> u32 {
        self.buckets.saturating_mul(u32::from(WAYS))
    }

    /// Reads a geometry that is whole and ready; none = the store is not made yet, or made by another version.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; GEOMETRY_BYTES] = bytes.try_into().ok()?;
        let [magic @ .., v0, v1, w0, w1, b0, b1, b2, b3] = bytes.first_chunk::<12>()?;
        let [ready, _, _, _, started @ ..] = bytes.get(16..)?.first_chunk::<12>()?;
        let known = *magic == MAGIC
            && u16::from_le_bytes([*v0, *v1]) == VERSION
            && u16::from_le_bytes([*w0, *w1]) == u16::from(WAYS)
            && *ready == 1;
        known.then_some(Self {
            buckets: u32::from_le_bytes([*b0, *b1, *b2, *b3]),
            started: MonoMillis(u64::from_le_bytes(*started)),
        })
    }

    /// Writes the geometry of a store that is made.
    ///
    /// Shape: magic `RPR1` | version u16 | ways u16 | buckets u32 | pad 4 | ready u8 = 1 | pad 3 | started ms u64 | pad 4.
    #[must_use]
    pub fn write(&self) -> [u8; GEOMETRY_BYTES] {
        let mut bytes = [0; GEOMETRY_BYTES];
        let [
            m0,
            m1,
            m2,
            m3,
            v0,
            v1,
            w0,
            w1,
            b0,
            b1,
            b2,
            b3,
            _,
            _,
            _,
            _,
            ready,
            _,
            _,
            _,
            started @ ..,
            _,
            _,
            _,
            _,
        ] = &mut bytes;
        [*m0, *m1, *m2, *m3] = MAGIC;
        [*v0, *v1] = VERSION.to_le_bytes();
        [*w0, *w1] = u16::from(WAYS).to_le_bytes();
        [*b0, *b1, *b2, *b3] = self.buckets.to_le_bytes();
        *ready = 1;
        *started = self.started.0.to_le_bytes();
        bytes
    }
}

/// The names of the fixed set of keys.
///
/// Shape: `b:<bucket>`, `q:<bucket>`, `r:<bucket>:<way>`, `l:<seat>`, decimal.
#[derive(Debug, Default, Clone)]
pub struct Name(String);

impl Name {
    /// Names a bucket.
    pub fn bucket(&mut self, bucket: u32) -> &str {
        self.begin("b:").number(bucket)
    }

    /// Names the waiters of a bucket.
    pub fn waiters(&mut self, bucket: u32) -> &str {
        self.begin("q:").number(bucket)
    }

    /// Names the seat of a worker's ledger.
    pub fn seat(&mut self, seat: u16) -> &str {
        self.begin("l:").number(u32::from(seat))
    }

    /// Names the record of a way.
    pub fn record(&mut self, bucket: u32, way: u8) -> &str {
        self.begin("r:").number(bucket);
        self.0.push(':');
        self.number(u32::from(way))
    }

    fn begin(&mut self, kind: &str) -> &mut Self {
        self.0.clear();
        self.0.push_str(kind);
        self
    }

    /// Appends a number; by hand, because `core::fmt` costs more than the look-up that follows.
    fn number(&mut self, number: u32) -> &str {
        let start = self.0.len();
        let mut rest = number;
        loop {
            let digit = u8::try_from(rest % 10).unwrap_or_default();
            self.0.insert(start, char::from(b'0'.saturating_add(digit)));
            rest /= 10;
            if rest == 0 {
                return &self.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_geometry_reads_back_and_garbage_does_not() {
        let geometry = Geometry::new(262_144, MonoMillis(77));
        assert_eq!(geometry.buckets, 8192);
        assert_eq!(geometry.keys_max(), 262_144);
        let bytes = geometry.write();
        assert_eq!(Geometry::read(&bytes), Some(geometry));
        for at in [0, 4, 6, 16] {
            let mut other = bytes;
            other[at] ^= 0xff;
            assert_eq!(Geometry::read(&other), None, "byte {at} changed");
        }
        assert_eq!(Geometry::read(&bytes[..31]), None);
    }

    #[test]
    fn names_are_as_promised() {
        let mut name = Name::default();
        assert_eq!(name.bucket(0), "b:0");
        assert_eq!(name.waiters(8191), "q:8191");
        assert_eq!(name.seat(255), "l:255");
        assert_eq!(name.record(4_294_967_295, 31), "r:4294967295:31");
    }
}
