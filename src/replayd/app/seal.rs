//! Values that nobody may read at rest: encrypted before they are stored, opened for a replay that needs them.

use crate::token::{Token, TokenError};
use reprise_core::wire::Sealed;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// Tells the key of sealed values apart from every other use of the secret.
const PURPOSE: &str = "reprise 2026-11 sealed values";

/// The key of sealed values; clones are the same key.
///
/// Shape: of a value at rest: 12 random bytes, then ChaCha20-Poly1305 of it, bound to its token.
#[derive(Clone)]
pub(crate) struct SealKey(Arc<LessSafeKey>);

/// Why a value cannot be sealed or opened.
#[derive(Debug, Error)]
pub(crate) enum SealError {
    /// The key's file cannot be used.
    #[error(transparent)]
    Key(#[from] TokenError),
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    Random(#[source] io::Error),
    /// The value was changed, or sealed with another key.
    #[error("a sealed value cannot be opened: it was changed, or sealed with another seal-key")]
    Broken,
}

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self::Broken
    }
}

impl SealKey {
    /// Reads the key in `path`, or draws one and writes it there.
    ///
    /// Again: the key in the file is kept.
    pub(crate) fn load_or_draw(path: &Path) -> Result<Self, SealError> {
        let secret = Token::load_or_draw(path)?;
        let key = blake3::derive_key(PURPOSE, secret.secret().as_bytes());
        Ok(Self(Arc::new(LessSafeKey::new(UnboundKey::new(
            &CHACHA20_POLY1305,
            &key,
        )?))))
    }

    /// Encrypts the values in place; the tokens stay.
    pub(crate) fn seal(&self, values: &mut [Sealed]) -> Result<(), SealError> {
        for Sealed { token, value } in values {
            let mut nonce = [0; NONCE_LEN];
            getrandom::fill(&mut nonce).map_err(|error| SealError::Random(error.into()))?;
            let mut sealed = std::mem::take(value);
            let bound = Aad::from(&*token);
            self.0
                .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut sealed)?;
            *value = [&nonce, &*sealed].concat();
        }
        Ok(())
    }

    /// Shows the value of one.
    ///
    /// # Errors
    /// [`SealError::Broken`] if it is not what [`Self::seal`] made of it.
    pub(crate) fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        let (nonce, value) = sealed.value.split_first_chunk().ok_or(SealError::Broken)?;
        let mut value = value.to_vec();
        let bound = Aad::from(&*sealed.token);
        let opened = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), bound, &mut value)?;
        Ok(opened.to_vec())
    }
}

impl SealKey {
    /// Encrypts `value`, bound to what it is `of`.
    pub(crate) fn close(&self, of: &str, value: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let token = of.as_bytes().to_vec();
        let mut values = [Sealed { token, value }];
        self.seal(&mut values)?;
        let [sealed] = values;
        Ok(sealed.value)
    }

    /// Shows what [`Self::close`] encrypted.
    ///
    /// # Errors
    /// [`SealError::Broken`] if it is not that.
    pub(crate) fn disclose(&self, of: &str, value: &[u8]) -> Result<Vec<u8>, SealError> {
        self.open(&Sealed {
            token: of.as_bytes().to_vec(),
            value: value.to_vec(),
        })
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("SealKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &SealKey) -> Sealed {
        let mut values = [Sealed {
            token: b"rdt_a".to_vec(),
            value: b"secret".to_vec(),
        }];
        key.seal(&mut values).unwrap();
        values[0].clone()
    }

    fn key(dir: &Path) -> SealKey {
        SealKey::load_or_draw(&dir.join("seal-key")).unwrap()
    }

    #[test]
    fn a_sealed_value_is_opened_with_the_same_key_only() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = sealed(&key(dir.path()));
        assert!(!sealed.value.windows(6).any(|window| window == b"secret"));
        assert_eq!(key(dir.path()).open(&sealed).unwrap(), b"secret");
        assert!(matches!(key(other.path()).open(&sealed), Err(SealError::Broken)));
    }

    #[test]
    fn a_sealed_value_stays_with_its_token() {
        let dir = tempfile::tempdir().unwrap();
        let moved = Sealed {
            token: b"rdt_b".to_vec(),
            ..sealed(&key(dir.path()))
        };
        assert!(matches!(key(dir.path()).open(&moved), Err(SealError::Broken)));
    }

    #[test]
    fn a_value_that_was_cut_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let mut cut = sealed(&key(dir.path()));
        cut.value.truncate(11);
        assert!(matches!(key(dir.path()).open(&cut), Err(SealError::Broken)));
    }
}
