//! Encoders: what names a key in the store besides its namespace and its caller, where that is more than the key.
//!
//! Where the body belongs to it, the name is not known before the body's end.

use crate::config::{Encoder, Part};
use crate::gate::Request;
use crate::http::len_u32;
use crate::key::IdempotencyKey;
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// The digest that an encoder makes of a request.
pub type Code = [u8; 32];

/// A code that is being made while the body comes.
#[derive(Clone)]
pub struct Encoding {
    hasher: Sha256,
    /// What follows the body.
    after: Vec<u8>,
    /// Bytes of the body, where they are written behind it.
    len: Option<u64>,
}

impl core::fmt::Debug for Encoding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Encoding(hidden)")
    }
}

impl Encoding {
    /// Begins with a request's head and its key; none where the standard name is taken.
    ///
    /// Shape: SHA-256. `django`: over `key | path as sent, without query | method | body | authorization`, several lines
    /// of the latter joined by commas, nothing if there is none: the bytes that the Django middleware digests. `parts`:
    /// over `u8 version = 1`, for each part in the order below `u8 part | content`, and at the end, if the body counts,
    /// `u8 6 | body | u64le length`: 1 key, 2 method, 3 path as `lp(x)`; 4 query as `u8 is there | lp(x)`; 5 a header as
    /// `lp(name)`, `u8 1 | lp(line)` for each line, and `u8 0`, where `lp(x) = u32le len(x) | x`.
    #[must_use]
    pub fn begin(encoder: &Encoder, request: &Request<'_>, key: &IdempotencyKey<'_>) -> Option<Self> {
        match encoder {
            Encoder::Standard => None,
            Encoder::Django => Some(Self::django(request, key)),
            Encoder::Parts(parts) => Some(Self::of_parts(parts, request, key)),
        }
    }

    fn django(request: &Request<'_>, key: &IdempotencyKey<'_>) -> Self {
        let mut hasher = Sha256::new();
        for part in [key.bytes(), request.path(), request.method] {
            write(&mut hasher, part);
        }
        let mut after = Vec::new();
        for (at, line) in lines(request, "authorization").enumerate() {
            if at > 0 {
                after.push(b',');
            }
            after.extend_from_slice(line);
        }
        Self {
            hasher,
            after,
            len: None,
        }
    }

    fn of_parts(parts: &[Part], request: &Request<'_>, key: &IdempotencyKey<'_>) -> Self {
        let mut hasher = Sha256::new();
        write(&mut hasher, &[1]);
        for part in parts {
            write_part(&mut hasher, part, request, key);
        }
        Self {
            hasher,
            after: Vec::new(),
            len: parts.contains(&Part::Body).then_some(0),
        }
    }

    /// Takes in the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        write(&mut self.hasher, piece);
        self.len = self.len.map(|len| len.saturating_add(len_u32(piece.len()).into()));
    }

    /// Gives the code: the body has ended.
    #[must_use]
    pub fn end(self) -> Code {
        let mut hasher = self.hasher;
        write(&mut hasher, &self.after);
        if let Some(len) = self.len {
            write(&mut hasher, &len.to_le_bytes());
        }
        hasher.finalize().into()
    }
}

fn write_part(hasher: &mut Sha256, part: &Part, request: &Request<'_>, key: &IdempotencyKey<'_>) {
    match part {
        Part::Key => write_lp(hasher, 1, key.bytes()),
        Part::Method => write_lp(hasher, 2, request.method),
        Part::Path => write_lp(hasher, 3, request.path()),
        Part::Query => {
            let query = request.target.splitn(2, |byte| *byte == b'?').nth(1);
            write(hasher, &[4]);
            write_lp(hasher, query.is_some().into(), query.unwrap_or_default());
        }
        Part::Header(name) => {
            write_lp(hasher, 5, name.as_bytes());
            for line in lines(request, name) {
                write_lp(hasher, 1, line);
            }
            write(hasher, &[0]);
        }
        // It is the last part, and what follows is its content.
        Part::Body => write(hasher, &[6]),
    }
}

fn write_lp(hasher: &mut Sha256, kind: u8, bytes: &[u8]) {
    write(hasher, &[kind]);
    write(hasher, &len_u32(bytes.len()).to_le_bytes());
    write(hasher, bytes);
}

/// Hashes bytes; once in the built filter, as each place would be half a kilobyte.
#[inline(never)]
fn write(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update(bytes);
}

fn lines<'a>(request: &Request<'a>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = request.pairs.filter(move |(each, _)| *each == name.as_bytes());
    lines.map(|(_, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HeaderSyntax;
    use crate::http::write_pairs;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    type Header<'a> = (&'a str, &'a str);

    fn code(encoder: &Encoder, key: &str, headers: &[Header<'_>], body: &str) -> String {
        let mut map = vec![];
        write_pairs(
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut map,
        );
        let key = IdempotencyKey::parse(key.as_bytes(), HeaderSyntax::Any).unwrap();
        let mut encoding = Encoding::begin(encoder, &Request::read(&map), &key).unwrap();
        for piece in body.as_bytes().chunks(7) {
            encoding.push(piece);
        }
        encoding.end().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes a form as the test client of Django does.
    fn form(fields: &[(&str, &str)]) -> String {
        let field = |(name, value): &(&str, &str)| {
            format!("--BoUnDaRyStRiNg\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let fields: String = fields.iter().map(field).collect();
        format!("{fields}--BoUnDaRyStRiNg--\r\n")
    }

    #[track_caller]
    fn django(key: &str, headers: &[Header<'_>], body: &str, want: &str) {
        let headers = [&[(":method", "POST")], headers].concat();
        assert_eq!(code(&Encoder::Django, key, &headers, body), want);
    }

    const KEY: &str = "7495e32b-709b-4fae-bfd4-2497094bf3fd";

    fn voucher() -> String {
        form(&[("id", "1"), ("name", "myvoucher0"), ("internal_name", "myvoucher0")])
    }

    /// Case T13.
    #[test]
    fn a_body_of_json_has_the_digest_of_the_middleware() {
        let want = "da44e9b4dd5bc8e7853a43c8e8f2d2c2de4394f6614ab37dd5507b6f5988aac4";
        let body = r#"{"key": "value"}"#;
        django("MyKey", &[(":path", "/myURL/path/")], body, want);
        django("\"MyKey\"", &[(":path", "/myURL/path/?x=1")], body, want);
    }

    /// Case T13.
    #[test]
    fn a_form_has_the_digest_of_the_middleware() {
        let want = "1f4bc93e1a614e35350605b01133d77c1d4b15dd515e40fc6599ca3ff137143d";
        django(KEY, &[(":path", "/views/create/")], &voucher(), want);
    }

    /// Case T13.
    #[test]
    fn a_body_with_credentials_has_the_digest_of_the_middleware() {
        let want = "913f72291888aa92f5faaabe2b4b67e882ebcc5429ed30b705c2aded23e05c68";
        let headers = [(":path", "/myURL/path/"), ("authorization", "Bearer 123")];
        django("MyKey", &headers, r#"{"key": "value"}"#, want);
    }

    /// Case T13.
    #[test]
    fn an_empty_form_has_the_digest_of_the_middleware() {
        let want = "1c4bf5e1ea27f341eb8e310c349ad3c3dedabdcf54f1742737f728556867309b";
        django(KEY, &[(":path", "/views/create-no-decorators/")], &form(&[]), want);
    }

    const POST: [Header<'static>; 4] = [(":method", "POST"), (":path", "/a?x=1"), ("x-a", "1"), ("x-a", "2")];

    fn parts(more: &[Part]) -> Encoder {
        Encoder::Parts([&[Part::Key], more].concat())
    }

    /// Tells whether `encoder` tells two requests apart.
    fn tells(encoder: &Encoder, one: (&[Header<'_>], &str), other: (&[Header<'_>], &str)) -> bool {
        code(encoder, "k", one.0, one.1) != code(encoder, "k", other.0, other.1)
    }

    #[test]
    fn each_part_tells_requests_apart_and_no_other_does() {
        let all = [
            (Part::Method, (":method", "PUT")),
            (Part::Path, (":path", "/b?x=1")),
            (Part::Query, (":path", "/a?x=2")),
            (Part::Query, (":path", "/a")),
            (Part::Header("x-a".into()), ("x-a", "3")),
        ];
        for (part, change) in all {
            let other: Vec<_> = POST
                .into_iter()
                .filter(|(name, _)| *name != change.0)
                .chain([change])
                .collect();
            assert!(
                tells(&parts(core::slice::from_ref(&part)), (&POST, ""), (&other, "")),
                "{part:?}"
            );
            assert!(!tells(&parts(&[]), (&POST, ""), (&other, "")), "{part:?}");
        }
        assert!(tells(&parts(&[Part::Body]), (&POST, "a"), (&POST, "b")));
        assert_ne!(code(&parts(&[]), "k", &POST, ""), code(&parts(&[]), "l", &POST, ""));
    }

    #[test]
    fn neighbours_do_not_flow_into_each_other() {
        let headers = parts(&[Part::Header("x-a".into()), Part::Header("x-b".into())]);
        let of = |a: &str, b: &str| code(&headers, "k", &[("x-a", a), ("x-b", b)], "");
        assert_ne!(of("ab", "c"), of("a", "bc"));
        let two = code(&headers, "k", &[("x-a", "a"), ("x-a", "b"), ("x-b", "")], "");
        assert_ne!(two, of("ab", ""));
        let query = parts(&[Part::Query]);
        assert!(tells(&query, (&[(":path", "/a")], ""), (&[(":path", "/a?")], "")));
    }

    #[test]
    fn a_header_that_is_not_there_and_an_empty_one_are_two() {
        let encoder = parts(&[Part::Header("x-a".into())]);
        assert!(tells(&encoder, (&[("x-a", "")], ""), (&[], "")));
    }
}
