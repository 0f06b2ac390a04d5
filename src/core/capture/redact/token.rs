//! Tokens: what stands in the place of a secret.

use core::fmt;

/// Bytes of a token.
pub const TOKEN_BYTES: usize = 30;
/// What every token begins with.
const PREFIX: &[u8; 4] = b"rdt_";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What stands in the place of a secret: equal secrets have equal tokens.
///
/// Shape: `rdt_` | 26 characters of base32 (RFC 4648, lower case, no padding) of the first 16 bytes of a keyed BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; TOKEN_BYTES]);

/// Makes the token of a secret that nobody sees again; equal secrets have equal tokens wherever they stand.
///
/// Shape: the hash is over the secret as it reads, without the encoding of its place.
#[must_use]
pub fn token(secret: &[u8], key: &[u8; 32]) -> Token {
    Token::new(&blake3::keyed_hash(key, secret))
}

/// Makes the token of a secret that is kept for replays; it is never the token of one that is not.
///
/// Shape: the hash, with a key derived from `key`, is over the secret as it stands in its place.
pub(super) fn sealed_token(raw: &[u8], key: &[u8; 32]) -> Token {
    let sealing = blake3::keyed_hash(key, b"reprise sealed values");
    Token::new(&blake3::keyed_hash(sealing.as_bytes(), raw))
}

impl Token {
    fn new(hash: &blake3::Hash) -> Self {
        let low = hash.as_bytes().first_chunk::<16>();
        let mut bits = low.map_or(0, |low| u128::from_be_bytes(*low));
        let mut text = [b'a'; TOKEN_BYTES];
        let (front, rest) = text.split_at_mut(PREFIX.len());
        front.copy_from_slice(PREFIX);
        for place in rest {
            // Five bits at a time from the top; the last character has three.
            let five = usize::try_from(bits >> 123).unwrap_or_default();
            *place = ALPHABET.get(five).copied().unwrap_or_default();
            bits <<= 5;
        }
        Self(text)
    }

    /// Shows the token's characters.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; TOKEN_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(core::str::from_utf8(&self.0).unwrap_or_default())
    }
}

/// Tells whether a token stands anywhere in `bytes`.
#[must_use]
pub fn has_token(bytes: &[u8]) -> bool {
    bytes.windows(TOKEN_BYTES).any(is_token)
}

/// Counts the tokens in `bytes`.
#[must_use]
pub fn tokens(bytes: &[u8]) -> usize {
    bytes.windows(TOKEN_BYTES).filter(|each| is_token(each)).count()
}

/// Finds the tokens in `bytes`, in order.
pub fn all_tokens(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.windows(TOKEN_BYTES).filter(|each| is_token(each))
}

fn is_token(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.iter().all(|byte| ALPHABET.contains(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_token_is_the_same_for_ever() {
        assert_eq!(
            format!("{:?}", token(b"secret", &KEY)),
            "rdt_w3wnuc2d6vcuo53djr36hhnarm"
        );
        assert_eq!(
            format!("{:?}", sealed_token(b"secret", &KEY)),
            "rdt_t5hzghyakhoqh45uyozni6hd2i"
        );
    }

    #[test]
    fn another_key_or_secret_makes_another_token() {
        let one = token(b"secret", &KEY);
        assert!(one != token(b"secret", &[8; 32]) && one != token(b"Secret", &KEY) && one != token(b"", &KEY));
        assert_ne!(one, sealed_token(b"secret", &KEY));
    }

    #[test]
    fn a_token_is_found_among_other_bytes() {
        let text = format!("Bearer {:?}!", token(b"secret", &KEY));
        assert!(has_token(text.as_bytes()));
        assert!(!has_token(b"rdt_ and nothing of thirty bytes that is base32"));
        assert!(!has_token(b""));
    }
}
