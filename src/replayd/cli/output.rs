//! Where commands write: colour only on a terminal, and a reader that went away is no error.

use super::{Diagnostic, Failure};
use anstream::AutoStream;
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Stderr, Stdout, Write};

/// Standard output and standard error.
#[derive(Debug)]
pub(super) struct Output {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
}

impl Output {
    /// Takes the process's streams.
    pub(super) fn new() -> Self {
        Self {
            out: AutoStream::auto(io::stdout()),
            err: AutoStream::auto(io::stderr()),
        }
    }

    /// Tells whether a person reads along.
    pub(super) fn is_terminal() -> bool {
        io::stdout().is_terminal()
    }

    /// Writes `text` to standard output.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be written, except because the reader closed its end.
    pub(super) fn write(&mut self, text: impl Display) -> Result<(), Box<dyn Diagnostic>> {
        match write_to(&mut self.out, &text) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::because("cannot write to standard output", error))
            }
            _ => Ok(()),
        }
    }

    /// Writes an answer to standard output, as JSON.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn json(&mut self, answer: &Value) -> Result<(), Box<dyn Diagnostic>> {
        self.write(format_args!("{answer:#}\n"))
    }

    /// Writes an answer to standard output: as JSON, or for people as `text` lays it out.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn answer<T: Display>(
        &mut self,
        json: bool,
        answer: &Value,
        text: impl FnOnce() -> T,
    ) -> Result<(), Box<dyn Diagnostic>> {
        if json { self.json(answer) } else { self.write(text()) }
    }

    /// Writes `bytes` to standard output, as they are.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Diagnostic>> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::because("cannot write to standard output", error))
            }
            _ => Ok(()),
        }
    }

    /// Tells whether a person reads along the progress.
    pub(super) fn is_terminal_beside() -> bool {
        io::stderr().is_terminal()
    }

    /// Writes `text` to standard error; there is nowhere to tell that it failed.
    pub(super) fn write_error(&mut self, text: impl Display) {
        let _nowhere_to_tell = write_to(&mut self.err, &text);
    }
}

fn write_to(stream: &mut impl Write, text: &impl Display) -> io::Result<()> {
    write!(stream, "{text}")?;
    stream.flush()
}
