//! Messages behind their lengths: how a batch is written and taken apart.

use alloc::vec::Vec;
use prost::Message;
use prost::encoding::decode_varint;
use thiserror::Error;

/// Why a batch cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// A length is none, or larger than what follows.
    #[error("byte {at}: a message's length is cut off, or larger than the rest of the batch")]
    Length {
        /// Where the length begins.
        at: usize,
    },
    /// A message does not parse.
    #[error("byte {at}: {problem}")]
    Message {
        /// Where the message begins.
        at: usize,
        /// What is wrong.
        problem: prost::DecodeError,
    },
}

/// Appends `message` behind its length.
///
/// Shape: protobuf varint length | message.
pub fn push_frame(message: &impl Message, out: &mut Vec<u8>) {
    // A Vec grows as needed: encoding cannot fail.
    let _grows = message.encode_length_delimited(out);
}

/// Walks the messages of a batch.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Begins at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            all: bytes,
            rest: bytes,
        }
    }

    /// Tells how many bytes were taken.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.all.len().saturating_sub(self.rest.len())
    }

    /// Takes the next message's bytes; none at the end.
    ///
    /// # Errors
    /// [`BatchError::Length`] if a length is not one.
    pub fn next_bytes(&mut self) -> Result<Option<&'a [u8]>, BatchError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.offset();
        let mut rest = self.rest;
        let len = decode_varint(&mut rest).map_err(|_| BatchError::Length { at })?;
        let len = usize::try_from(len).map_err(|_| BatchError::Length { at })?;
        let (bytes, rest) = rest.split_at_checked(len).ok_or(BatchError::Length { at })?;
        self.rest = rest;
        Ok(Some(bytes))
    }

    /// Takes the next message; none at the end.
    ///
    /// # Errors
    /// [`BatchError`], with the offset.
    pub fn next_message<M: Message + Default>(&mut self) -> Result<Option<M>, BatchError> {
        let Some(bytes) = self.next_bytes()? else {
            return Ok(None);
        };
        let at = self.offset().saturating_sub(bytes.len());
        M::decode(bytes)
            .map(Some)
            .map_err(|problem| BatchError::Message { at, problem })
    }
}
