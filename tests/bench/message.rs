//! HTTP/1.1 as the bench speaks it: where a message ends, and the bytes of requests and of the upstream's answer.
//!
//! Only `content-length` framing: a chunked message would mean that something between rewrote the body, and is an error.

use std::io;

/// Bytes of a POST's body.
const BODY_BYTES: usize = 1024;

/// Bytes of a large body: the longest response that the filter keeps in shared data.
const LARGE_BYTES: usize = 65_536;

/// Bytes that one message may have: head and a large body, with room.
pub(crate) const MESSAGE_BYTES_MAX: usize = LARGE_BYTES + 16_384;

/// Bytes of the body that the upstream answers with.
const ANSWER_BYTES: usize = 260;

/// Bytes of a key: the length of a UUID.
pub(crate) const KEY_BYTES: usize = 36;

/// Where all requests go; the documents' rules and the wrk script name it too.
pub(crate) const PATH: &str = "/v1/orders/42/payments";

/// Where requests go that are answered with a large body.
const LARGE_ANSWER_PATH: &str = "/v1/orders/42/receipts";

/// Where requests go that fill a store: their keys outlive the run.
pub(crate) const FILL_PATH: &str = "/v1/orders/42/entries";

/// Bytes of the message at the head of `bytes`, none while it is not whole.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] if the message has no readable `content-length`.
pub(crate) fn whole_bytes(bytes: &[u8], body_without_length: Option<usize>) -> io::Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let Some(body) = content_length(&bytes[..head]).or(body_without_length) else {
        let head = String::from_utf8_lossy(&bytes[..head]).into_owned();
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("no content-length in: {head}"),
        ));
    };
    let whole = head + 4 + body;
    Ok((whole <= bytes.len()).then_some(whole))
}

/// The length that a head declares.
fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let at = head
        .windows(NAME.len())
        .position(|name| name.eq_ignore_ascii_case(NAME))?;
    let value = head[at + NAME.len()..].split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// The status of a response, 0 if it cannot be read.
pub(crate) fn status(bytes: &[u8]) -> u16 {
    let digits = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// A GET without a key: a route that the filter does not concern.
    Get,
    /// A POST of 1 KiB with a key.
    Post,
    /// A POST of 64 KiB with a key.
    LargePost,
    /// A POST of 1 KiB with a key, answered with 64 KiB.
    LargeAnswer,
    /// A POST of 1 KiB with a key that stays in the store.
    Fill,
}

impl Method {
    /// How tables name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST 1 KiB",
            Self::LargePost => "POST 64 KiB",
            Self::LargeAnswer => "POST 1 KiB, answer 64 KiB",
            Self::Fill => "POST 1 KiB to fill",
        }
    }

    /// The status that the upstream answers it with.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Get => 200,
            Self::Post | Self::LargePost | Self::LargeAnswer | Self::Fill => 201,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Get | Self::Post | Self::LargePost => PATH,
            Self::LargeAnswer => LARGE_ANSWER_PATH,
            Self::Fill => FILL_PATH,
        }
    }

    const fn body_bytes(self) -> usize {
        match self {
            Self::Get => 0,
            Self::Post | Self::LargeAnswer | Self::Fill => BODY_BYTES,
            Self::LargePost => LARGE_BYTES,
        }
    }
}

/// The bytes of a request, with a place for its key.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    key_at: Option<usize>,
}

impl Request {
    /// The request of `method`.
    pub(crate) fn new(method: Method) -> Self {
        let common = "host: bench.test\r\nuser-agent: reprise-bench\r\naccept: */*\r\n\
                      authorization: Bearer 3f1c9a70b2d84e56a1f07c4d9e8b6a52\r\n";
        match method {
            Method::Get => {
                let bytes = format!("GET {PATH} HTTP/1.1\r\n{common}\r\n").into_bytes();
                Self { bytes, key_at: None }
            }
            Method::Post | Method::LargePost | Method::LargeAnswer | Method::Fill => {
                let (path, len) = (method.path(), method.body_bytes());
                let mut head = format!("POST {path} HTTP/1.1\r\n{common}idempotency-key: ").into_bytes();
                let key_at = head.len();
                head.extend([b'0'; KEY_BYTES]);
                head.extend(format!("\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n").bytes());
                head.extend(body(len));
                Self {
                    bytes: head,
                    key_at: Some(key_at),
                }
            }
        }
    }

    /// The bytes, with `key` in its place.
    pub(crate) fn with_key(&mut self, key: [u8; KEY_BYTES]) -> &[u8] {
        if let Some(at) = self.key_at {
            self.bytes[at..at + KEY_BYTES].copy_from_slice(&key);
        }
        &self.bytes
    }
}

/// The body of a POST.
pub(crate) fn request_body() -> Vec<u8> {
    body(BODY_BYTES)
}

/// The body of the upstream's answer.
pub(crate) fn answer_body() -> Vec<u8> {
    body(ANSWER_BYTES)
}

/// A JSON object of exactly `bytes` bytes.
fn body(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"amount":1999,"currency":"eur","note":""#.to_vec();
    body.resize(bytes - 2, b'x');
    body.extend(br#""}"#);
    body
}

/// The upstream's answer to a request that begins with `head`: 7 headers and 260 bytes, or 64 KiB where that is asked for;
/// 201 to a POST, 200 to a GET.
pub(crate) fn answer(head: &[u8]) -> &'static [u8] {
    use std::sync::LazyLock;
    static TO_GET: LazyLock<Vec<u8>> = LazyLock::new(|| answer_with("200 OK", ANSWER_BYTES));
    static TO_POST: LazyLock<Vec<u8>> = LazyLock::new(|| answer_with("201 Created", ANSWER_BYTES));
    static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| answer_with("201 Created", LARGE_BYTES));
    let target = head.strip_prefix(b"POST ").unwrap_or_default();
    if head.starts_with(b"GET") {
        &TO_GET
    } else if target.starts_with(LARGE_ANSWER_PATH.as_bytes()) {
        &LARGE
    } else {
        &TO_POST
    }
}

fn answer_with(status: &str, len: usize) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\
         location: {PATH}/77\r\ncache-control: no-store\r\netag: \"5d41402abc4b2a76\"\r\n\
         x-request-cost: 3\r\nvary: accept\r\n\r\n"
    )
    .into_bytes();
    answer.extend(body(len));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_at_its_last_byte() {
        let mut request = Request::new(Method::Post);
        let bytes = request.with_key([b'k'; KEY_BYTES]);
        assert_eq!(whole_bytes(&bytes[..bytes.len() - 1], None).unwrap(), None);
        assert_eq!(whole_bytes(bytes, None).unwrap(), Some(bytes.len()));
    }

    #[test]
    fn a_second_message_does_not_count_to_the_first() {
        let one = answer(b"POST");
        assert_eq!(whole_bytes(&[one, one].concat(), None).unwrap(), Some(one.len()));
        assert_eq!(status(one), 201);
    }

    #[test]
    fn large_bodies_are_64_kib_and_fit() {
        let asked = Request::new(Method::LargePost).with_key([b'k'; KEY_BYTES]).to_vec();
        let answered = answer(Request::new(Method::LargeAnswer).with_key([b'k'; KEY_BYTES]));
        for message in [&asked[..], answered] {
            assert_eq!(content_length(message), Some(65_536));
            assert_eq!(whole_bytes(message, None).unwrap(), Some(message.len()));
            assert!(message.len() <= MESSAGE_BYTES_MAX);
        }
        assert_eq!(content_length(answer(&asked)), Some(ANSWER_BYTES));
    }

    #[test]
    fn a_chunked_answer_is_refused() {
        assert!(whole_bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None).is_err());
    }
}
