//! A batch as it travels becomes one that can be stored: checked, with what lists show of each capture taken from its
//! bytes.

use crate::clock::UnixMillis;
use crate::store::captures::{Capture, CaptureId, CaptureRow, Epoch, NewCapture, StreamBatch, add_labels};
use reprise_core::capture::redact::has_token;
use reprise_core::http::Pairs;
use reprise_core::wire::{self, BatchError, BatchHead, Frames, Half, State};
use thiserror::Error;

/// Largest number of a capture: the store's numbers have a sign.
const SEQ_MAX: u64 = i64::MAX as u64;

/// Why a batch cannot be stored; nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Malformed {
    /// It cannot be read.
    #[error(transparent)]
    Bytes(#[from] BatchError),
    /// It has nothing in it.
    #[error("byte 0: the batch is empty; a head is the least")]
    Empty,
    /// A message says what cannot be.
    #[error("byte {at}: {problem}")]
    Message {
        /// Where the message begins.
        at: usize,
        /// What is wrong, and what is allowed.
        problem: &'static str,
    },
}

/// Reads a batch.
///
/// # Errors
/// [`Malformed`], with the offset.
pub(super) fn parse(bytes: &[u8], now: UnixMillis) -> Result<StreamBatch, Malformed> {
    let mut frames = Frames::new(bytes);
    let head: BatchHead = frames.next_message()?.ok_or(Malformed::Empty)?;
    let epoch = head.epoch.try_into().map_err(|_| Malformed::Message {
        at: 0,
        problem: "the epoch does not have 16 bytes",
    })?;
    let mut captures = Vec::new();
    loop {
        let at = frames.offset();
        let Some(message) = frames.next_message()? else { break };
        captures.push(capture(message, now).map_err(|problem| Malformed::Message { at, problem })?);
    }
    Ok(StreamBatch {
        epoch: Epoch(epoch),
        instance: head.instance,
        worker: head.worker,
        received_at: now,
        ledger: head.ledger.unwrap_or_default(),
        boots: head.boots,
        goodbye: head.goodbye,
        captures,
    })
}

fn capture(message: wire::Capture, now: UnixMillis) -> Result<NewCapture, &'static str> {
    if message.seq == 0 || message.seq > SEQ_MAX {
        return Err("the capture's number is not between 1 and 9223372036854775807");
    }
    if message.exchange > SEQ_MAX || message.exchange == message.seq {
        return Err("the capture ends itself, or a number that cannot be");
    }
    let state = State::try_from(message.state)
        .ok()
        .filter(|state| *state != State::Unspecified);
    let state = state.ok_or("the capture's state is none that is known")?;
    let request = message.request.unwrap_or_default();
    let (pairs, response) = (Pairs::new(&request.pairs), message.response);
    let mut labels = Vec::new();
    add_labels(&mut labels, message.labels);
    let row = CaptureRow {
        id: CaptureId(0),
        epoch: None,
        seq: message.seq,
        origin: None,
        state,
        reason: message.reason,
        method: text(pairs, b":method"),
        scheme: text(pairs, b":scheme"),
        authority: text(pairs, b":authority"),
        target: text(pairs, b":path"),
        status: response.as_ref().and_then(status),
        began_at: UnixMillis(i64::try_from(message.began_unix_ms).unwrap_or(i64::MAX)),
        began_us: message.began_us,
        ended_us: message.ended_us,
        route: message.route,
        cluster: message.cluster,
        principal: message.principal,
        client: message.client,
        peer: message.peer,
        protocol: message.protocol,
        request_id: message.request_id,
        labels,
        boot_id: message.boot_id,
        not_replayable: message.not_replayable,
        request_bytes: request.body_len,
        response_bytes: response.as_ref().map_or(0, |half| half.body_len),
        truncated: request.truncated || response.as_ref().is_some_and(|half| half.truncated),
        redacted: is_redacted(&request) || response.as_ref().is_some_and(is_redacted),
        sealed: 0,
        received_at: now,
    };
    let capture = Capture {
        row,
        request,
        response,
        sealed: message.sealed,
    };
    Ok(NewCapture {
        seq: message.seq,
        exchange: message.exchange,
        capture,
    })
}

fn text(pairs: Pairs<'_>, name: &[u8]) -> String {
    let value = pairs.first(name).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn status(response: &Half) -> Option<u16> {
    let value = Pairs::new(&response.pairs).first(b":status")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn is_redacted(half: &Half) -> bool {
    !half.redacted.is_empty() || has_token(&half.pairs)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use prost::Message as _;
    use reprise_core::http::write_pairs;
    use reprise_core::wire::{Boot, push_frame};

    pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut out = vec![];
        let bytes = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        write_pairs(bytes, &mut out);
        out
    }

    /// A completed exchange.
    pub(crate) fn exchange(seq: u64) -> wire::Capture {
        wire::Capture {
            seq,
            state: State::Completed.into(),
            request: Some(Half {
                pairs: pairs(&[
                    (":authority", "shop"),
                    (":path", "/orders?x=%20"),
                    (":method", "POST"),
                    (":scheme", "https"),
                    ("authorization", "rdt_w3wnuc2d6vcuo53djr36hhnarm"),
                ]),
                body: b"{}".to_vec(),
                body_len: 2,
                ended: true,
                ..Half::default()
            }),
            response: Some(Half {
                pairs: pairs(&[(":status", "201")]),
                body_len: 7,
                truncated: true,
                ..Half::default()
            }),
            began_unix_ms: 1_700_000_000_000,
            began_us: 5,
            ended_us: 9,
            labels: vec!["b".into(), "a".into(), "b".into()],
            ..wire::Capture::default()
        }
    }

    pub(crate) fn head() -> BatchHead {
        BatchHead {
            epoch: vec![7; 16],
            instance: "edge".into(),
            worker: 2,
            ..BatchHead::default()
        }
    }

    pub(crate) fn batch(head: &BatchHead, captures: &[wire::Capture]) -> Vec<u8> {
        let mut out = vec![];
        push_frame(head, &mut out);
        for capture in captures {
            push_frame(capture, &mut out);
        }
        out
    }

    fn read(bytes: &[u8]) -> Result<StreamBatch, String> {
        parse(bytes, UnixMillis(3)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_row_shows_what_the_bytes_say() {
        let boots = vec![Boot {
            cluster: "upstream".into(),
            boot_id: "b1".into(),
            before: String::new(),
        }];
        let head = BatchHead {
            boots: boots.clone(),
            goodbye: true,
            ..head()
        };
        let read = read(&batch(&head, &[exchange(4)])).unwrap();
        assert_eq!((read.epoch, read.boots, read.goodbye), (Epoch([7; 16]), boots, true));
        let NewCapture { seq, capture, .. } = &read.captures[0];
        let row = &capture.row;
        assert_eq!(
            (*seq, row.method.as_str(), row.target.as_str()),
            (4, "POST", "/orders?x=%20")
        );
        assert_eq!(
            (row.authority.as_str(), row.scheme.as_str(), row.status),
            ("shop", "https", Some(201))
        );
        assert_eq!(
            (row.truncated, row.redacted, row.request_bytes, row.response_bytes),
            (true, true, 2, 7)
        );
        assert_eq!(
            (&row.labels[..], row.received_at),
            (&["a".to_owned(), "b".to_owned()][..], UnixMillis(3))
        );
        assert_eq!(Some(&capture.request), exchange(4).request.as_ref());
    }

    #[test]
    fn what_only_looks_like_a_token_was_not_redacted() {
        let mut plain = exchange(4);
        plain.request.as_mut().unwrap().pairs = pairs(&[("x", "rdt_me")]);
        let read = read(&batch(&head(), &[plain])).unwrap();
        assert!(!read.captures[0].capture.row.redacted);
    }

    #[test]
    fn an_empty_batch_is_malformed() {
        assert_eq!(read(&[]), Err("byte 0: the batch is empty; a head is the least".into()));
    }

    #[test]
    fn a_stream_has_a_name_of_16_bytes() {
        let nameless = BatchHead {
            epoch: vec![7; 15],
            ..head()
        };
        assert_eq!(
            read(&batch(&nameless, &[])),
            Err("byte 0: the epoch does not have 16 bytes".into())
        );
    }

    #[track_caller]
    fn check_refused(wrong: wire::Capture, words: &str) {
        let good = batch(&head(), &[exchange(1)]);
        let both = batch(&head(), &[exchange(1), wrong]);
        let told = read(&both).unwrap_err();
        assert!(
            told.starts_with(&format!("byte {}: ", good.len())) && told.contains(words),
            "{told}"
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_offset() {
        check_refused(exchange(0), "number");
        check_refused(exchange(SEQ_MAX + 1), "number");
        check_refused(
            wire::Capture {
                exchange: 2,
                ..exchange(2)
            },
            "ends itself",
        );
        check_refused(
            wire::Capture {
                state: 0,
                ..exchange(2)
            },
            "state",
        );
        check_refused(
            wire::Capture {
                state: 99,
                ..exchange(2)
            },
            "state",
        );
    }

    #[test]
    fn a_batch_cut_short_is_refused_wherever_it_is_cut() {
        let whole = batch(&head(), &[exchange(1)]);
        let at_head = batch(&head(), &[]).len();
        for len in (1..whole.len()).filter(|len| *len != at_head) {
            assert!(read(&whole[..len]).unwrap_err().starts_with("byte "), "{len}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, at in 0_usize..200, byte: u8) {
            let _read = read(&bytes);
            let mut whole = batch(&head(), &[exchange(1)]);
            let at = at % whole.len();
            whole[at] = byte;
            if let Ok(read) = read(&whole) {
                for new in read.captures {
                    let _size = new.capture.request.encoded_len();
                }
            }
        }
    }
}
