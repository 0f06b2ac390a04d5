//! The keys of this installation that all filters get.

use std::fmt;
use std::io;

/// The keys of this installation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secrets {
    /// Keys the tokens and hashes of redacted values.
    pub(crate) redaction: [u8; 32],
    /// Keys of `Replayd-Signature`: the newest first.
    pub(crate) signatures: Vec<[u8; 32]>,
}

impl Secrets {
    /// Draws new ones.
    pub(crate) fn draw() -> io::Result<Self> {
        Ok(Self {
            redaction: random()?,
            signatures: vec![random()?],
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("Secrets")
    }
}

fn random() -> io::Result<[u8; 32]> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(random)
}
