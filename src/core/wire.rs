//! What travels between the filter and replayd, versioned.
//!
//! A batch is one HTTP request: a [`BatchHead`] and then [`Capture`]s, each behind its length. Its [`Ack`] says what is on
//! disk. The captures of one stream are numbered without gaps, so that each is stored exactly once however often it
//! travels, and what is missing has a number. Field numbers are never used again; old bytes stay as fixtures.

mod frame;

pub use frame::{BatchError, Frames, push_frame};

use alloc::string::String;
use alloc::vec::Vec;

/// The content type of batches, acknowledgements and policies of this version.
pub const CONTENT_TYPE: &str = "application/vnd.reprise.v1+protobuf";
/// Where batches of ended exchanges go.
pub const BATCH_PATH: &str = "/ingest/v1/batch";
/// Where captures go whose request or response is held until they are on disk; a batch as well.
pub const JOURNAL_PATH: &str = "/ingest/v1/journal";
/// Where the filter asks for its policy.
pub const POLICY_PATH: &str = "/ingest/v1/policy";
/// Most bytes of one batch that replayd takes: a capture with two bodies of the largest size fits.
pub const BATCH_BYTES_MAX: usize = 48 << 20;

/// What stands before the captures of a batch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BatchHead {
    /// The stream: 16 random bytes, drawn when the VM is configured first.
    #[prost(bytes = "vec", tag = "1")]
    pub epoch: Vec<u8>,
    /// Names the proxy, for people; two proxies may have the same name.
    #[prost(string, tag = "2")]
    pub instance: String,
    /// The worker's slot, for people.
    #[prost(uint32, tag = "3")]
    pub worker: u32,
    // Tag 4 was when the batch was closed; nobody read it.
    /// What became of every exchange of this stream until now.
    #[prost(message, optional, tag = "5")]
    pub ledger: Option<Ledger>,
    /// Boot ids that the upstreams showed last.
    #[prost(message, repeated, tag = "6")]
    pub boots: Vec<Boot>,
    /// Whether the stream ends with this batch.
    #[prost(bool, tag = "7")]
    pub goodbye: bool,
}

/// What became of the exchanges of one stream.
///
/// `seen = stored + pending + filtered + sampled_out + Σ dropped` holds in each.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ledger {
    /// Exchanges that capture was asked about.
    #[prost(uint64, tag = "1")]
    pub seen: u64,
    /// Those that replayd has on disk.
    #[prost(uint64, tag = "2")]
    pub stored: u64,
    /// Those that run, wait or travel.
    #[prost(uint64, tag = "3")]
    pub pending: u64,
    /// Those that a rule leaves out.
    #[prost(uint64, tag = "4")]
    pub filtered: u64,
    /// Those that the sample leaves out.
    #[prost(uint64, tag = "5")]
    pub sampled_out: u64,
    /// Those that were lost, by reason.
    #[prost(message, repeated, tag = "6")]
    pub dropped: Vec<Dropped>,
    /// The highest number that was given out, so that what was lost at the end shows; told while nothing waits or
    /// travels, 0 = not told.
    #[prost(uint64, tag = "7")]
    pub assigned: u64,
}

/// Exchanges that were lost for one reason.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Dropped {
    /// `queue_full`, `too_large`, `memory` or `replayd_down`; `vm_restart` shows in the proxy's metrics alone, because the
    /// stream of a VM that is gone tells nothing.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// How many.
    #[prost(uint64, tag = "2")]
    pub count: u64,
}

/// The boot id that an upstream cluster showed last.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Boot {
    /// The cluster.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// What `Reprise-Boot-Id` said.
    #[prost(string, tag = "2")]
    pub boot_id: String,
    /// The one before it; empty if this proxy knows of none.
    #[prost(string, tag = "3")]
    pub before: String,
}

/// One exchange, or one half of it.
///
/// An exchange that is not written ahead travels whole, when it has ended. One that is travels twice: `request` with
/// the state `Begun`, then `response` with its end and `exchange` = the `seq` of the first.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Capture {
    /// Its number in the stream; counts from 1.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The `seq` of the capture that this one ends; 0 = it stands for itself.
    #[prost(uint64, tag = "2")]
    pub exchange: u64,
    /// What became of it.
    #[prost(enumeration = "State", tag = "3")]
    pub state: i32,
    /// Why it was aborted; empty otherwise.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// The request; none where `exchange` names it. An ending of a truncated write-ahead request has it again, without
    /// pairs and body, with the true length and hash; that of one written ahead by its head alone has the body.
    #[prost(message, optional, tag = "5")]
    pub request: Option<Half>,
    /// The response; none if there was none, or not yet.
    #[prost(message, optional, tag = "6")]
    pub response: Option<Half>,
    /// When the request's head came, in microseconds of the proxy's monotonic clock.
    #[prost(uint64, tag = "7")]
    pub began_us: u64,
    /// When the exchange ended, by the same clock; 0 = not yet.
    #[prost(uint64, tag = "8")]
    pub ended_us: u64,
    /// When the request's head came, in milliseconds since 1970.
    #[prost(uint64, tag = "9")]
    pub began_unix_ms: u64,
    /// The name of the proxy's route.
    #[prost(string, tag = "10")]
    pub route: String,
    /// The upstream cluster.
    #[prost(string, tag = "11")]
    pub cluster: String,
    /// The caller: the source, a colon, and its value or the keyed hash of it; empty if no source names one.
    #[prost(string, tag = "12")]
    pub principal: String,
    /// The client's address as the proxy trusts it.
    #[prost(string, tag = "13")]
    pub client: String,
    /// The address at the other end of the connection.
    #[prost(string, tag = "14")]
    pub peer: String,
    /// `HTTP/1.1`, `HTTP/2` …
    #[prost(string, tag = "15")]
    pub protocol: String,
    /// `x-request-id`.
    #[prost(string, tag = "16")]
    pub request_id: String,
    /// Labels that the rules give.
    #[prost(string, repeated, tag = "17")]
    pub labels: Vec<String>,
    /// The boot id in the upstream's response.
    #[prost(string, tag = "18")]
    pub boot_id: String,
    /// Why it cannot be sent again (`upgrade`); empty if it can.
    #[prost(string, tag = "19")]
    pub not_replayable: String,
    /// What was redacted and is kept for replays.
    #[prost(message, repeated, tag = "20")]
    pub sealed: Vec<Sealed>,
}

/// The request or the response of an exchange.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Half {
    /// All headers in order, pseudo-headers first, as [`crate::http::Pairs`] reads them.
    #[prost(bytes = "vec", tag = "1")]
    pub pairs: Vec<u8>,
    /// The body, or its first bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub body: Vec<u8>,
    /// How many bytes the body had.
    #[prost(uint64, tag = "3")]
    pub body_len: u64,
    /// BLAKE3 of the whole body where `body` is not the whole of it, keyed where it was redacted; empty otherwise.
    #[prost(bytes = "vec", tag = "4")]
    pub body_hash: Vec<u8>,
    /// Whether `body` is only the first bytes.
    #[prost(bool, tag = "5")]
    pub truncated: bool,
    /// What was redacted of the body: empty, `parts` or `whole`.
    #[prost(string, tag = "6")]
    pub redacted: String,
    /// Trailers, as `pairs`; empty if there were none.
    #[prost(bytes = "vec", tag = "7")]
    pub trailers: Vec<u8>,
    /// Whether the half was seen to its end.
    #[prost(bool, tag = "8")]
    pub ended: bool,
}

/// A redacted value that is kept for replays; replayd encrypts it at rest.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sealed {
    /// The token that stands in its place.
    #[prost(bytes = "vec", tag = "1")]
    pub token: Vec<u8>,
    /// What it stands for, as it was written there.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// What became of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum State {
    /// Never sent.
    Unspecified = 0,
    /// The request is on disk, and not forwarded yet.
    Begun = 1,
    /// The request was forwarded. No filter says so, which would take a message more: what began is forwarded or refused
    /// as soon as that is on disk, and its end says which.
    Forwarded = 2,
    /// Both halves were seen to their ends.
    Completed = 3,
    /// It broke off; `reason` says why.
    Aborted = 4,
    /// Nobody saw its end.
    Unknown = 5,
}

/// What is on disk of a stream.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ack {
    /// Numbers that are on disk, among those of the batch; in order, not touching.
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<Range>,
    /// The newest policy's tag, so that nobody has to ask for it.
    #[prost(string, tag = "2")]
    pub policy_tag: String,
}

/// Numbers from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Range {
    /// The first.
    #[prost(uint64, tag = "1")]
    pub first: u64,
    /// The last.
    #[prost(uint64, tag = "2")]
    pub last: u64,
}

/// What replayd tells all filters.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Policy {
    /// 32 bytes that key the tokens and hashes of redacted values.
    #[prost(bytes = "vec", tag = "1")]
    pub redaction_key: Vec<u8>,
    /// Keys of `Replayd-Signature`, 32 bytes each: the newest first, older ones still count.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub signature_keys: Vec<Vec<u8>>,
    /// The boot gates.
    #[prost(message, repeated, tag = "3")]
    pub gates: Vec<Gate>,
}

/// The gate of one upstream cluster.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Gate {
    /// The cluster.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// The boot that this is about.
    #[prost(string, tag = "2")]
    pub boot_id: String,
    /// Whether unsafe client requests are refused until that boot is restored.
    #[prost(bool, tag = "3")]
    pub closed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::write_pairs;
    use alloc::vec;
    use prost::Message;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const BATCH: &[u8] = include_bytes!("wire/fixtures/batch-1.bin");
    /// As it was when a head told when its batch was closed.
    const BATCH_CLOSED: &[u8] = include_bytes!("wire/fixtures/batch-1-closed.bin");
    const ACK: &[u8] = include_bytes!("wire/fixtures/ack-1.bin");
    const POLICY: &[u8] = include_bytes!("wire/fixtures/policy-1.bin");

    fn pairs(pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let mut map = vec![];
        write_pairs(pairs.iter().map(|(name, value)| (name.as_bytes(), *value)), &mut map);
        map
    }

    fn head() -> BatchHead {
        BatchHead {
            epoch: (0..16).collect(),
            instance: "edge-1".into(),
            worker: 3,
            ledger: Some(Ledger {
                seen: 12,
                stored: 5,
                pending: 2,
                filtered: 1,
                sampled_out: 1,
                dropped: vec![
                    Dropped {
                        reason: "queue_full".into(),
                        count: 2,
                    },
                    Dropped {
                        reason: "vm_restart".into(),
                        count: 1,
                    },
                ],
                assigned: 0,
            }),
            boots: vec![Boot {
                cluster: "queue".into(),
                boot_id: "b-2".into(),
                before: "b-1".into(),
            }],
            goodbye: true,
        }
    }

    /// An exchange with every field set.
    fn whole() -> Capture {
        Capture {
            seq: 7,
            exchange: 6,
            state: State::Aborted.into(),
            reason: "upstream_reset".into(),
            request: Some(Half {
                pairs: pairs(&[
                    (":method", b"POST"),
                    (":path", b"/q?x=1&y=%20z"),
                    ("x", b"\xff"),
                    ("x", b""),
                ]),
                body: b"{\"a\":\"rdt_w3wnuc2d6vcuo53djr36hhnarm\"}".to_vec(),
                body_len: 11,
                body_hash: vec![9; 32],
                truncated: false,
                redacted: "parts".into(),
                trailers: pairs(&[("x-sum", b"1")]),
                ended: true,
            }),
            response: Some(Half {
                pairs: pairs(&[(":status", b"200")]),
                body: vec![0, 1, 2],
                body_len: 4_000_000_000,
                body_hash: vec![8; 32],
                truncated: true,
                redacted: "whole".into(),
                trailers: vec![],
                ended: false,
            }),
            began_us: 1_000_001,
            ended_us: 1_000_950,
            began_unix_ms: 1_790_000_000_000,
            route: "orders".into(),
            cluster: "queue".into(),
            principal: "header:alice".into(),
            client: "203.0.113.9:4711".into(),
            peer: "10.0.0.1:80".into(),
            protocol: "HTTP/2".into(),
            request_id: "r-1".into(),
            labels: vec!["pay".into(), "eu".into()],
            boot_id: "b-2".into(),
            not_replayable: "upgrade".into(),
            sealed: vec![Sealed {
                token: b"rdt_w3wnuc2d6vcuo53djr36hhnarm".to_vec(),
                value: b"\"s\"".to_vec(),
            }],
        }
    }

    /// An exchange that has only begun.
    fn begun() -> Capture {
        Capture {
            seq: 8,
            state: State::Begun.into(),
            request: Some(Half::default()),
            began_us: 1,
            ..Capture::default()
        }
    }

    fn batch(head: &BatchHead, captures: &[Capture]) -> Vec<u8> {
        let mut bytes = vec![];
        push_frame(head, &mut bytes);
        for capture in captures {
            push_frame(capture, &mut bytes);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Option<BatchHead>, Vec<Capture>), BatchError> {
        let mut frames = Frames::new(bytes);
        let head = frames.next_message()?;
        let mut captures = vec![];
        while let Some(capture) = frames.next_message()? {
            captures.push(capture);
        }
        assert_eq!(frames.offset(), bytes.len());
        Ok((head, captures))
    }

    fn ack() -> Ack {
        Ack {
            ranges: vec![Range { first: 1, last: 3 }, Range { first: 7, last: 7 }],
            policy_tag: "\"t-1\"".into(),
        }
    }

    fn policy() -> Policy {
        Policy {
            redaction_key: vec![1; 32],
            signature_keys: vec![vec![2; 32], vec![3; 32]],
            gates: vec![
                Gate {
                    cluster: "queue".into(),
                    boot_id: "b-2".into(),
                    closed: true,
                },
                Gate::default(),
            ],
        }
    }

    #[test]
    fn the_bytes_of_version_1_are_fixed() {
        assert_eq!(batch(&head(), &[whole(), begun(), Capture::default()]), BATCH);
        assert_eq!(ack().encode_to_vec(), ACK);
        assert_eq!(policy().encode_to_vec(), POLICY);
    }

    #[test]
    fn the_bytes_of_version_1_are_read() {
        let captures = vec![whole(), begun(), Capture::default()];
        assert_eq!(read(BATCH), Ok((Some(head()), captures.clone())));
        assert_eq!(read(BATCH_CLOSED), Ok((Some(head()), captures)));
        assert_eq!(Ack::decode(ACK), Ok(ack()));
        assert_eq!(Policy::decode(POLICY), Ok(policy()));
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let mut bytes = ack().encode_to_vec();
        // Field 99: text.
        bytes.extend_from_slice(&[0x9a, 0x06, 3, b'n', b'e', b'w']);
        assert_eq!(Ack::decode(bytes.as_slice()), Ok(ack()));
    }

    #[test]
    fn a_batch_that_is_cut_off_is_refused_where_the_cut_message_begins() {
        let captures = [whole(), begun(), Capture::default()];
        let begins: Vec<usize> = (0..=captures.len())
            .map(|count| batch(&head(), &captures[..count]).len())
            .collect();
        for len in 1..BATCH.len() {
            let before = begins
                .iter()
                .rev()
                .find(|begin| **begin <= len)
                .copied()
                .unwrap_or_default();
            let got = read(&BATCH[..len]).map(|_| ());
            let want = if before == len {
                Ok(())
            } else {
                Err(BatchError::Length { at: before })
            };
            assert_eq!(got, want, "cut at {len}");
        }
        assert_eq!(read(&[]), Ok((None, vec![])));
    }

    #[test]
    fn a_message_that_does_not_parse_is_told_with_its_place() {
        let mut bytes = batch(&head(), &[]);
        let at = bytes.len() + 1;
        bytes.extend_from_slice(&[2, 0x08, 0xff]);
        assert!(matches!(read(&bytes), Err(BatchError::Message { at: told, .. }) if told == at));
        let endless = [0xff; 11];
        assert_eq!(read(&endless), Err(BatchError::Length { at: 0 }));
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&huge), Err(BatchError::Length { at: 0 }));
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use alloc::string::String;
        use proptest::prelude::*;

        fn text() -> impl Strategy<Value = String> {
            "[a-z\0é😀]{0,5}"
        }

        fn bytes() -> impl Strategy<Value = Vec<u8>> {
            prop::collection::vec(any::<u8>(), 0..12)
        }

        fn half() -> impl Strategy<Value = Option<Half>> {
            let parts = (
                bytes(),
                bytes(),
                any::<u64>(),
                bytes(),
                any::<bool>(),
                text(),
                bytes(),
                any::<bool>(),
            );
            prop::option::of(parts.prop_map(
                |(pairs, body, body_len, body_hash, truncated, redacted, trailers, ended)| Half {
                    pairs,
                    body,
                    body_len,
                    body_hash,
                    truncated,
                    redacted,
                    trailers,
                    ended,
                },
            ))
        }

        fn capture() -> impl Strategy<Value = Capture> {
            let numbers = any::<(u64, u64, i32, u64, u64, u64)>();
            let labels = prop::collection::vec(text(), 0..3);
            let sealed = prop::collection::vec((bytes(), bytes()), 0..3);
            let names = (
                prop::array::uniform6(text()),
                prop::array::uniform4(text()),
                labels,
                sealed,
            );
            (numbers, names, half(), half()).prop_map(|(numbers, names, request, response)| {
                let (seq, exchange, state, began_us, ended_us, began_unix_ms) = numbers;
                let ([reason, route, cluster, principal, client, peer], rest, labels, sealed) = names;
                let [protocol, request_id, boot_id, not_replayable] = rest;
                let sealed = sealed
                    .into_iter()
                    .map(|(token, value)| Sealed { token, value })
                    .collect();
                Capture {
                    seq,
                    exchange,
                    state,
                    reason,
                    request,
                    response,
                    began_us,
                    ended_us,
                    began_unix_ms,
                    route,
                    cluster,
                    principal,
                    client,
                    peer,
                    protocol,
                    request_id,
                    labels,
                    boot_id,
                    not_replayable,
                    sealed,
                }
            })
        }

        fn batch_head() -> impl Strategy<Value = BatchHead> {
            let dropped = prop::collection::vec((text(), any::<u64>()), 0..3);
            let ledger = (any::<[u64; 5]>(), dropped);
            let ledger = ledger.prop_map(|([seen, stored, pending, filtered, sampled_out], dropped)| Ledger {
                seen,
                stored,
                pending,
                filtered,
                sampled_out,
                dropped: dropped
                    .into_iter()
                    .map(|(reason, count)| Dropped { reason, count })
                    .collect(),
                assigned: seen,
            });
            let boots = prop::collection::vec(prop::array::uniform3(text()), 0..3);
            let parts = (bytes(), text(), any::<u32>(), boots, any::<bool>());
            (parts, prop::option::of(ledger)).prop_map(|(parts, ledger)| {
                let (epoch, instance, worker, boots, goodbye) = parts;
                let boot = |[cluster, boot_id, before]: [String; 3]| Boot {
                    cluster,
                    boot_id,
                    before,
                };
                BatchHead {
                    epoch,
                    instance,
                    worker,
                    ledger,
                    boots: boots.into_iter().map(boot).collect(),
                    goodbye,
                }
            })
        }

        proptest! {
            #[test]
            fn any_batch_reads_back(head in batch_head(), captures in prop::collection::vec(capture(), 0..4)) {
                let bytes = batch(&head, &captures);
                prop_assert_eq!(read(&bytes), Ok((Some(head), captures)));
            }

            #[test]
            fn what_is_read_is_written_with_the_same_meaning(bytes: Vec<u8>) {
                if let Ok(capture) = Capture::decode(bytes.as_slice()) {
                    prop_assert_eq!(Capture::decode(capture.encode_to_vec().as_slice()), Ok(capture));
                }
            }

            #[test]
            fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
                let _batch = read(&bytes);
                let _ack = Ack::decode(bytes.as_slice());
                let _policy = Policy::decode(bytes.as_slice());
            }

            #[test]
            fn a_batch_with_wrong_bytes_is_read_without_a_panic(
                wrong in prop::collection::vec((0..BATCH.len(), any::<u8>()), 1..8), cut in 0..=BATCH.len(),
            ) {
                let mut bytes = BATCH.to_vec();
                for (at, byte) in wrong {
                    bytes[at] = byte;
                }
                bytes.truncate(cut);
                match read(&bytes) {
                    Ok((head, captures)) => {
                        let again = head.as_ref().map(|head| read(&batch(head, &captures)));
                        prop_assert!(again.is_none_or(|again| again == Ok((head, captures))));
                    }
                    Err(BatchError::Length { at } | BatchError::Message { at, .. }) => prop_assert!(at <= bytes.len()),
                }
            }
        }
    }
}
