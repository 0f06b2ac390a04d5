//! JSON pointers with a segment for every item.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A place in JSON documents, or several.
///
/// Shape: as RFC 6901; besides, a segment `*` stands for every member or item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads a pointer; none unless it is empty (the whole document) or begins with a slash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let segments = text.strip_prefix('/')?.split('/');
        let unescape = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
        Some(Self(segments.map(unescape).collect()))
    }

    /// Names one place.
    #[must_use]
    pub const fn new(path: Vec<String>) -> Self {
        Self(path)
    }

    /// Tells whether this is the place `path`, or one of those that it stands for.
    #[must_use]
    pub fn fits(&self, path: &[String]) -> bool {
        let fits = |(segment, name): (&String, &String)| segment == "*" || segment == name;
        self.0.len() == path.len() && self.0.iter().zip(path).all(fits)
    }

    /// Shows its segments.
    pub(super) fn segments(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            write!(out, "/{}", segment.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(pointer: &str, path: &[&str], want: bool) {
        let path: Vec<String> = path.iter().copied().map(String::from).collect();
        assert_eq!(Pointer::parse(pointer).unwrap().fits(&path), want, "{pointer}");
    }

    #[test]
    fn a_pointer_is_one_place() {
        check("", &[], true);
        check("/a", &["a"], true);
        check("/a/0", &["a", "0"], true);
        check("/", &[""], true);
        check("/a", &["a", "0"], false);
        check("/a/0", &["a"], false);
    }

    #[test]
    fn a_star_is_every_item() {
        check("/items/*/id", &["items", "7", "id"], true);
        check("/*", &["x"], true);
        check("/*", &[], false);
        check("/items/*/id", &["items", "7", "name"], false);
    }

    #[test]
    fn slashes_and_tildes_are_escaped() {
        check("/a~1b/~01", &["a/b", "~1"], true);
        for text in ["", "/", "/a~1b/~01", "/a//b"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Pointer::parse("a"), None);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_path_reads_back(path in proptest::collection::vec("[a/~*]{0,4}", 0..4)) {
            let pointer = Pointer::new(path);
            assert_eq!(Pointer::parse(&pointer.to_string()), Some(pointer));
        }
    }
}
