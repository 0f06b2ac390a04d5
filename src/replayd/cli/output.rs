//! Where commands write: colour only on a terminal, and a reader that went away is no error.

use super::{Diagnostic, Failure};
use anstream::AutoStream;
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

    /// Writes `text` to standard error; there is nowhere to tell that it failed.
    pub(super) fn write_error(&mut self, text: impl Display) {
        let _nowhere_to_tell = write_to(&mut self.err, &text);
    }
}

fn write_to(stream: &mut impl Write, text: &impl Display) -> io::Result<()> {
    write!(stream, "{text}")?;
    stream.flush()
}
