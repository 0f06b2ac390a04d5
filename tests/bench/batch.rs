//! Captures as the filter sends them: batches of exchanges with a body of 1 KiB.

use crate::clock;
use crate::message;
use prost::Message as _;
use reprise_core::http::write_pairs;
use reprise_core::wire::{Ack, BATCH_PATH, BatchHead, CONTENT_TYPE, Capture, Half, Ledger, State, push_frame};
use std::io;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::http::Connection;

/// Captures that close a batch.
const COUNT_MAX: usize = 256;

/// Bytes that close a batch.
const BYTES_MAX: usize = 256 << 10;

/// One stream's captures, numbered from 1, in batches that lack their head.
#[derive(Debug, Clone)]
pub(crate) struct Stream(Vec<Batch>);

#[derive(Debug, Clone)]
struct Batch {
    frames: Vec<u8>,
    count: u64,
}

impl Stream {
    /// Encodes `count` captures whose requests came `gap` apart, over `paths` paths in turn.
    pub(crate) fn new(count: u64, gap: Duration, paths: u64) -> Self {
        let (mut batches, mut open) = (
            Vec::new(),
            Batch {
                frames: Vec::new(),
                count: 0,
            },
        );
        let began_unix_ms = clock::unix_ms();
        for seq in 1..=count {
            let after_us = clock::ns(gap) / 1000 * seq;
            let path = format!("/v1/orders/{}/payments", seq % paths.max(1));
            push_frame(
                &capture(seq, &path, after_us, began_unix_ms + after_us / 1000),
                &mut open.frames,
            );
            open.count += 1;
            if open.count == COUNT_MAX as u64 || BYTES_MAX <= open.frames.len() {
                batches.push(std::mem::replace(
                    &mut open,
                    Batch {
                        frames: Vec::new(),
                        count: 0,
                    },
                ));
            }
        }
        if 0 < open.count {
            batches.push(open);
        }
        Self(batches)
    }

    /// Sends all of it as the stream `epoch`, one batch after the other; gives how many captures were acknowledged.
    ///
    /// # Errors
    ///
    /// If replayd refuses a batch, or does not acknowledge all of it.
    pub(crate) fn send(&self, ingest: &mut Connection, token: &str, epoch: u128) -> io::Result<u64> {
        let (credential, mut body, mut sent) = (format!("Bearer {token}"), Vec::new(), 0);
        for batch in &self.0 {
            body.clear();
            push_frame(&head(epoch, sent), &mut body);
            body.extend_from_slice(&batch.frames);
            let headers = [("authorization", credential.as_str()), ("content-type", CONTENT_TYPE)];
            let (status, said) = ingest.ask("POST", BATCH_PATH, &headers, &body)?;
            if status != 200 {
                let said = String::from_utf8_lossy(&said).into_owned();
                return Err(io::Error::other(format!("a batch was answered with {status}: {said}")));
            }
            let ack = Ack::decode(said.as_slice()).map_err(io::Error::other)?;
            let acknowledged: u64 = ack.ranges.iter().map(|range| range.last + 1 - range.first).sum();
            if acknowledged != batch.count {
                return Err(io::Error::other(format!(
                    "{acknowledged} of {} were acknowledged",
                    batch.count
                )));
            }
            sent += batch.count;
        }
        Ok(sent)
    }
}

/// Fills replayd with `count` captures, for rows that begin with them.
///
/// # Errors
///
/// If replayd refuses any of them.
pub(crate) fn fill(daemon: &Daemon, stream: &Stream, streams: u64, first_epoch: u128) -> io::Result<u64> {
    let (mut ingest, token) = (Connection::open(daemon.ingest)?, daemon.ingest_token()?);
    (0..streams).try_fold(0, |sum, at| {
        Ok(sum + stream.send(&mut ingest, &token, first_epoch + u128::from(at))?)
    })
}

fn head(epoch: u128, sent: u64) -> BatchHead {
    BatchHead {
        epoch: epoch.to_be_bytes().to_vec(),
        instance: "bench".to_owned(),
        worker: 0,
        ledger: Some(Ledger {
            seen: sent,
            stored: sent,
            ..Ledger::default()
        }),
        boots: Vec::new(),
        goodbye: false,
    }
}

fn capture(seq: u64, path: &str, after_us: u64, began_unix_ms: u64) -> Capture {
    let (body, answer) = (message::request_body(), message::answer_body());
    let length = body.len().to_string();
    let request = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "bench.test"),
        (":path", path),
        ("content-type", "application/json"),
        ("content-length", &length),
        ("user-agent", "reprise-bench"),
    ];
    let response = [(":status", "201"), ("content-type", "application/json")];
    Capture {
        seq,
        state: State::Completed.into(),
        request: Some(half(&request, &body)),
        response: Some(half(&response, &answer)),
        began_us: 1_000_000 + after_us,
        ended_us: 1_000_200 + after_us,
        began_unix_ms,
        route: "application".to_owned(),
        cluster: "upstream".to_owned(),
        client: "127.0.0.1".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        ..Capture::default()
    }
}

fn half(headers: &[(&str, &str)], body: &[u8]) -> Half {
    let mut pairs = Vec::new();
    write_pairs(
        headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        &mut pairs,
    );
    Half {
        pairs,
        body: body.to_vec(),
        body_len: body.len() as u64,
        ended: true,
        ..Half::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_into_batches_as_the_filter_cuts_them() {
        let Stream(batches) = Stream::new(1000, Duration::from_millis(1), 10);
        assert_eq!(batches.iter().map(|batch| batch.count).sum::<u64>(), 1000);
        assert!(batches.iter().all(|batch| batch.frames.len() < BYTES_MAX + 4096));
        assert!(3 < batches.len());
    }
}
