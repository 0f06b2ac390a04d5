//! What replayd shows where it goes: where the secret comes from, never the secret itself.

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use thiserror::Error;
use tokio::process::Command;
use tokio::{task, time};

/// How long the command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A header whose value is a secret that is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    /// The header's name.
    pub(crate) header: HeaderName,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Env(String),
    Command(Vec<String>),
}

/// A credential as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCredential {
    header: Option<String>,
    file: Option<PathBuf>,
    env: Option<String>,
    command: Option<Vec<String>>,
}

/// Why there is no credential.
#[derive(Debug, Error)]
pub(crate) enum CredentialError {
    /// The file cannot be read, or the command not be run.
    #[error("cannot read the credential from {from}")]
    Io {
        /// The file or the program.
        from: String,
        /// What the system said.
        source: io::Error,
    },
    /// The variable is not set.
    #[error("the credential's variable {name} is not set")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// The command failed; what it printed is not told, because it may be a secret.
    #[error("the credential's command {program} failed, or took more than {} s", COMMAND_TIMEOUT.as_secs())]
    Failed {
        /// The program.
        program: String,
    },
    /// What came cannot be a header's value.
    #[error("what {from} gives cannot be the value of a header")]
    Malformed {
        /// Where it came from.
        from: String,
    },
}

impl RawCredential {
    /// Checks that it comes from exactly one place.
    pub(super) fn check(self) -> Result<Credential, String> {
        let name = self.header.unwrap_or_else(|| "authorization".to_owned());
        let header = name
            .parse()
            .map_err(|_| format!("`{name}` is not the name of a header"))?;
        let source = match (self.file, self.env, self.command) {
            (Some(file), None, None) => Source::File(file),
            (None, Some(name), None) => Source::Env(name),
            (None, None, Some(command)) if !command.is_empty() => Source::Command(command),
            _ => return Err("a credential has exactly one of `file`, `env` and `command`".to_owned()),
        };
        Ok(Credential { header, source })
    }
}

impl Credential {
    /// Reads the secret: the file's text, the variable, or the command's first line of output.
    ///
    /// Again: reads it anew; it may have changed.
    ///
    /// # Errors
    /// [`CredentialError`], which never holds the secret.
    pub(crate) async fn read(&self) -> Result<HeaderValue, CredentialError> {
        let (text, from) = match &self.source {
            Source::File(path) => (read_file(path.clone()).await?, path.display().to_string()),
            Source::Env(name) => {
                let value = env::var(name).map_err(|_| CredentialError::NotSet { name: name.clone() })?;
                (value, name.clone())
            }
            Source::Command(line) => {
                let program = line.first().cloned().unwrap_or_default();
                (run(line).await?, program)
            }
        };
        let line = text.lines().next().unwrap_or_default().trim();
        let mut value = HeaderValue::from_str(line).map_err(|_| CredentialError::Malformed { from: from.clone() })?;
        if value.is_empty() {
            return Err(CredentialError::Malformed { from });
        }
        value.set_sensitive(true);
        Ok(value)
    }
}

async fn read_file(path: PathBuf) -> Result<String, CredentialError> {
    let from = path.display().to_string();
    let read = task::spawn_blocking(move || fs::read_to_string(path)).await;
    read.unwrap_or_else(|gone| Err(io::Error::other(gone)))
        .map_err(|source| CredentialError::Io { from, source })
}

async fn run(line: &[String]) -> Result<String, CredentialError> {
    let (program, arguments) = line
        .split_first()
        .map_or(("", line), |(first, rest)| (first.as_str(), rest));
    let failed = || CredentialError::Failed {
        program: program.to_owned(),
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = time::timeout(COMMAND_TIMEOUT, output).await.map_err(|_| failed())?;
    let output = output.map_err(|source| CredentialError::Io {
        from: program.to_owned(),
        source,
    })?;
    if !output.status.success() {
        return Err(failed());
    }
    String::from_utf8(output.stdout).map_err(|_| failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(toml: &str) -> Result<Credential, String> {
        toml::from_str::<RawCredential>(toml).unwrap().check()
    }

    #[test]
    fn a_credential_has_one_source() {
        assert_eq!(from("file = 'x'").unwrap().header, "authorization");
        assert!(from("file = 'x'\nenv = 'Y'").is_err());
        assert!(from("header = 'x'").is_err());
        assert!(from("command = []").is_err());
    }

    #[tokio::test]
    async fn a_file_and_a_command_give_their_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "Bearer one\n\n").unwrap();
        let file = from(&format!("file = '{}'", path.display())).unwrap();
        assert_eq!(file.read().await.unwrap(), "Bearer one");
        let command = from("command = ['echo', 'Bearer two']").unwrap();
        assert_eq!(command.read().await.unwrap(), "Bearer two");
    }

    #[tokio::test]
    async fn a_command_that_fails_does_not_tell_what_it_printed() {
        let command = from("command = ['sh', '-c', 'echo s3cret; exit 1']").unwrap();
        let error = command.read().await.unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }

    #[tokio::test]
    async fn a_variable_that_is_not_set_is_named() {
        let error = from("env = 'REPRISE_NOT_SET'").unwrap().read().await.unwrap_err();
        assert!(error.to_string().contains("REPRISE_NOT_SET"), "{error}");
    }
}
