//! Bearer tokens: drawn, kept in a file, compared. Where the files lie is the data directory's matter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Random bytes in a drawn token.
const RANDOM_BYTES: usize = 32;
/// Fewest characters of a token that was put into the file by hand.
const CHARS_MIN: usize = 32;

/// A secret that its bearer shows with every request.
///
/// Shape: visible ASCII, at least 32 characters; a drawn one is 64 lower-case hex digits.
#[derive(Clone)]
pub(crate) struct Token(String);

/// Why there is no token.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    /// The file cannot be read or written.
    #[error("cannot read or write the token file {}", path.display())]
    File {
        /// The token's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the token file {} holds no token: {CHARS_MIN} or more visible ASCII characters are allowed; remove the file \
         to have a new one drawn",
        path.display()
    )]
    Malformed {
        /// The token's file.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    Random(#[source] io::Error),
}

impl Token {
    /// Reads the token in `path`, or draws one and writes it there.
    ///
    /// Atomic: a new file appears whole, with mode 0600, or not at all.
    /// Again: the token in the file is kept.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if the file holds something else; it is left as it is.
    pub(crate) fn load_or_draw(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File {
            path: path.to_owned(),
            source,
        };
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(text.trim_end()).ok_or_else(|| TokenError::Malformed { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let token = Self::draw()?;
                write_private(path, token.0.as_bytes()).map_err(failed)?;
                Ok(token)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let is_token = text.len() >= CHARS_MIN && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(text.to_owned()))
    }

    /// Draws one.
    pub(crate) fn draw() -> Result<Self, TokenError> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|error| TokenError::Random(error.into()))?;
        Ok(Self(random.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Tells whether `shown` is this token, in a time that does not depend on where they differ.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(shown)
    }

    /// The secret itself, for the one terminal that may see it.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

/// Writes `bytes` to `path` with mode 0600.
///
/// Atomic: the file is the old one or the new one, never half of it; a crash may leave `<name>.new` beside it.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn load(dir: &tempfile::TempDir) -> Result<Token, TokenError> {
        Token::load_or_draw(&dir.path().join("ingest-token"))
    }

    #[test]
    fn a_drawn_token_has_256_bits_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let token = load(&dir).unwrap();
        let mode = fs::metadata(dir.path().join("ingest-token"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!((token.secret().len(), mode & 0o777), (64, 0o600));
    }

    #[test]
    fn a_token_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = load(&dir).unwrap();
        assert!(first.is(load(&dir).unwrap().secret().as_bytes()));
    }

    #[test]
    fn two_tokens_differ() {
        let (one, two) = (Token::draw().unwrap(), Token::draw().unwrap());
        assert!(!one.is(two.secret().as_bytes()));
    }

    #[test]
    fn a_prefix_of_the_token_is_not_the_token() {
        let token = Token::draw().unwrap();
        assert!(!token.is(&token.secret().as_bytes()[..63]));
    }

    #[test]
    fn a_file_with_something_else_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ingest-token");
        fs::write(&path, "short").unwrap();
        assert!(matches!(load(&dir), Err(TokenError::Malformed { .. })));
        assert_eq!(fs::read_to_string(path).unwrap(), "short");
    }

    #[test]
    fn a_line_feed_at_the_end_of_the_file_is_not_part_of_the_token() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ingest-token"), format!("{}\n", "t".repeat(32))).unwrap();
        assert_eq!(load(&dir).unwrap().secret(), "t".repeat(32));
    }
}
