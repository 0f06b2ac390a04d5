//! Captures in memory.

use super::super::captures::{
    Appended, Capture, CaptureColumn, CaptureId, CaptureOrder, CaptureQuery, CaptureRow, CaptureStats, Captures,
    Cursor, Deleted, Epoch, NewCapture, Page, REQUEST_MISSING, RangeSet, Retention, StreamBatch, StreamStats, Taken,
    add_labels, is_refusal, later,
};
use super::super::{Pending, StoreError};
use super::{MemoryStore, lock};
use crate::clock::UnixMillis;
use reprise_core::wire::State;
use std::collections::{BTreeMap, BTreeSet};
use std::future;

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    captures: BTreeMap<i64, Capture>,
    streams: Vec<Stream>,
    /// Endings whose beginnings did not come yet, by stream and number of the beginning.
    lone: BTreeMap<(Epoch, u64), i64>,
    last_id: i64,
}

#[derive(Debug)]
struct Stream {
    told: StreamStats,
    received: RangeSet,
}

impl Shelf {
    fn append(&mut self, batch: StreamBatch) -> Appended {
        let at = self.hear(&batch);
        let (mut ranges, mut stored, mut duplicates) = (RangeSet::default(), 0, 0);
        for new in batch.captures {
            ranges.insert(new.seq);
            let Some(stream) = self.streams.get_mut(at) else {
                continue;
            };
            if stream.received.insert(new.seq) {
                self.write(batch.epoch, at, new);
                stored += 1;
            } else {
                stream.told.duplicates += 1;
                duplicates += 1;
            }
        }
        Appended {
            ranges: ranges.into_ranges(),
            stored,
            duplicates,
        }
    }

    fn hear(&mut self, batch: &StreamBatch) -> usize {
        let known = self.streams.iter().position(|stream| stream.told.epoch == batch.epoch);
        let at = known.unwrap_or(self.streams.len());
        if known.is_none() {
            let told = StreamStats {
                epoch: batch.epoch,
                instance: batch.instance.clone(),
                worker: batch.worker,
                first_at: batch.received_at,
                last_at: batch.received_at,
                ledger: batch.ledger.clone(),
                received: Vec::new(),
                missing: Vec::new(),
                duplicates: 0,
                ended: batch.goodbye,
            };
            let received = RangeSet::default();
            self.streams.push(Stream { told, received });
        }
        if let Some(Stream { told, .. }) = self.streams.get_mut(at) {
            told.last_at = told.last_at.max(batch.received_at);
            told.ledger = later(std::mem::take(&mut told.ledger), batch.ledger.clone());
            told.ended |= batch.goodbye;
        }
        at
    }

    fn write(&mut self, epoch: Epoch, stream: usize, new: NewCapture) {
        let NewCapture {
            seq,
            exchange,
            mut capture,
        } = new;
        capture.row.seq = seq;
        if exchange == 0 {
            let lone = self.lone.remove(&(epoch, seq));
            if let Some(mut ending) = lone.and_then(|id| self.captures.remove(&id)) {
                ending.row.not_replayable.clear();
                capture.end(ending);
            }
            self.insert(Some(epoch), capture);
            return;
        }
        let is_open = |row: &CaptureRow| {
            let open = [State::Begun, State::Forwarded, State::Unknown].contains(&row.state);
            open && row.epoch == Some(epoch) && row.seq == exchange
        };
        if let Some(beginning) = self.captures.values_mut().find(|each| is_open(&each.row)) {
            beginning.end(capture);
            beginning.row.sealed = beginning.sealed.len() as u64;
            return;
        }
        let Some(known) = self.streams.get_mut(stream) else {
            return;
        };
        if is_refusal(&capture.row) {
            known.received.insert(exchange);
        } else if !known.received.contains(exchange) {
            REQUEST_MISSING.clone_into(&mut capture.row.not_replayable);
            let id = self.insert(Some(epoch), capture);
            self.lone.insert((epoch, exchange), id);
        }
    }

    fn insert(&mut self, epoch: Option<Epoch>, mut capture: Capture) -> i64 {
        self.last_id += 1;
        capture.row.id = CaptureId(self.last_id);
        capture.row.epoch = epoch;
        capture.row.sealed = capture.sealed.len() as u64;
        self.captures.insert(self.last_id, capture);
        self.last_id
    }

    fn remove(&mut self, ids: &[i64], pinned: &BTreeSet<(i64, i64)>) -> u64 {
        let is_pinned = |id: &i64| pinned.iter().any(|(_, capture)| capture == id);
        let before = self.captures.len();
        for id in ids.iter().filter(|id| !is_pinned(id)) {
            self.captures.remove(id);
        }
        u64::try_from(before - self.captures.len()).unwrap_or(u64::MAX)
    }

    fn meant(&self, query: &CaptureQuery) -> impl Iterator<Item = &CaptureRow> {
        let rows = self.captures.values().map(|capture| &capture.row);
        rows.filter(move |row| is_meant(query, row))
    }

    fn bytes(&self) -> u64 {
        self.captures.values().map(bytes).sum()
    }

    /// The captures that are pinned.
    fn pinned(&self, pins: &BTreeSet<(i64, i64)>) -> impl Iterator<Item = &Capture> {
        let is_pinned = |id: &i64| pins.iter().any(|(_, capture)| capture == id);
        self.captures
            .iter()
            .filter(move |(id, _)| is_pinned(id))
            .map(|(_, capture)| capture)
    }

    /// Forgets streams that were silent since `before`, but those of pinned captures.
    fn forget_streams(&mut self, before: UnixMillis, pins: &BTreeSet<(i64, i64)>) {
        let needed: Vec<_> = self.pinned(pins).filter_map(|capture| capture.row.epoch).collect();
        self.streams
            .retain(|stream| before <= stream.told.last_at || needed.contains(&stream.told.epoch));
    }
}

/// Tells whether `query` means `row`.
fn is_meant(query: &CaptureQuery, row: &CaptureRow) -> bool {
    let path = row.target.split('?').next().unwrap_or_default();
    let fits = |pattern: &String| match pattern.strip_suffix('*') {
        Some(prefix) => row.target.starts_with(prefix),
        None => path == pattern,
    };
    let within = |status: u16| {
        query
            .statuses
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&status))
    };
    query.id_min.is_none_or(|least| row.id.0 >= least)
        && query.id_max.is_none_or(|most| row.id.0 <= most)
        && one_of(&query.ids, &row.id.0)
        && one_of(&query.methods, &row.method)
        && one_of(&query.hosts, &row.authority)
        && one_of(&query.states, &row.state)
        && one_of(&query.principals, &row.principal)
        && one_of(&query.routes, &row.route)
        && one_of(&query.clusters, &row.cluster)
        && (query.statuses.is_empty() || row.status.is_some_and(within))
        && (query.paths.is_empty() || query.paths.iter().any(fits))
        && !query.paths_not.iter().any(fits)
        && query.labels.iter().all(|label| row.labels.contains(label))
        && query.request_id.as_ref().is_none_or(|id| *id == row.request_id)
        && query.since.is_none_or(|since| row.began_at >= since)
        && query.until.is_none_or(|until| row.began_at < until)
        && query
            .latency_min_us
            .is_none_or(|least| latency(row) >= i64::try_from(least).unwrap_or(i64::MAX))
        && query
            .text
            .as_ref()
            .is_none_or(|text| row.target.contains(text.as_str()))
}

fn one_of<T: PartialEq>(values: &[T], value: &T) -> bool {
    values.is_empty() || values.contains(value)
}

fn latency(row: &CaptureRow) -> i64 {
    if row.ended_us == 0 {
        return -1;
    }
    i64::try_from(row.ended_us).unwrap_or(i64::MAX) - i64::try_from(row.began_us).unwrap_or(i64::MAX)
}

fn bytes(capture: &Capture) -> u64 {
    let half = |half: &reprise_core::wire::Half| half.pairs.len() + half.body.len() + half.trailers.len();
    let sum = half(&capture.request) + capture.response.as_ref().map_or(0, half);
    u64::try_from(sum).unwrap_or(u64::MAX)
}

fn place(order: CaptureOrder, row: &CaptureRow) -> Cursor {
    let value = match order.by {
        CaptureColumn::Id => row.id.0,
        CaptureColumn::BeganAt => row.began_at.0,
        CaptureColumn::Status => i64::from(row.status.unwrap_or(0)),
        CaptureColumn::Latency => latency(row),
    };
    Cursor { value, id: row.id.0 }
}

impl MemoryStore {
    fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Shelf, &BTreeSet<(i64, i64)>) -> T) -> Pending<'_, T> {
        let done = work(&mut lock(&self.captures), &lock(&self.pins));
        Box::pin(future::ready(Ok::<_, StoreError>(done)))
    }
}

impl Captures for MemoryStore {
    fn append(&self, batch: StreamBatch) -> Pending<'_, Appended> {
        self.with(|shelf, _| shelf.append(batch))
    }

    fn import(&self, captures: Vec<Capture>, now: UnixMillis) -> Pending<'_, Taken> {
        self.with(|shelf, _| {
            let mut taken = Taken::default();
            for mut capture in captures {
                let name = capture.row.name();
                if name.is_some() && shelf.captures.values().any(|each| each.row.name() == name) {
                    taken.duplicates += 1;
                    continue;
                }
                (capture.row.origin, capture.row.received_at) = (name, now);
                let id = CaptureId(shelf.insert(None, capture));
                taken.ids = Some((taken.ids.map_or(id, |(first, _)| first), id));
                taken.stored += 1;
            }
            taken
        })
    }

    fn capture(&self, id: CaptureId) -> Pending<'_, Option<Capture>> {
        self.with(|shelf, _| shelf.captures.get(&id.0).cloned())
    }

    fn captures(&self, ids: Vec<CaptureId>) -> Pending<'_, Vec<Capture>> {
        self.with(|shelf, _| ids.iter().filter_map(|id| shelf.captures.get(&id.0).cloned()).collect())
    }

    fn page(
        &self,
        query: CaptureQuery,
        order: CaptureOrder,
        after: Option<Cursor>,
        limit: u32,
    ) -> Pending<'_, Page<CaptureRow>> {
        self.with(|shelf, _| {
            let mut rows: Vec<_> = shelf.meant(&query).cloned().collect();
            let key = |row: &CaptureRow| {
                let Cursor { value, id } = place(order, row);
                (value, id)
            };
            rows.sort_by_key(key);
            if order.descending {
                rows.reverse();
            }
            if let Some(Cursor { value, id }) = after {
                rows.retain(|row| {
                    if order.descending {
                        key(row) < (value, id)
                    } else {
                        key(row) > (value, id)
                    }
                });
            }
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let is_more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().map(|row| place(order, row)).filter(|_| is_more);
            Page { rows, next }
        })
    }

    fn label(&self, query: CaptureQuery, add: Vec<String>, remove: Vec<String>) -> Pending<'_, u64> {
        self.with(|shelf, _| {
            let ids: Vec<_> = shelf.meant(&query).map(|row| row.id.0).collect();
            for id in &ids {
                if let Some(capture) = shelf.captures.get_mut(id) {
                    add_labels(&mut capture.row.labels, add.clone());
                    capture.row.labels.retain(|label| !remove.contains(label));
                }
            }
            u64::try_from(ids.len()).unwrap_or(u64::MAX)
        })
    }

    fn delete(&self, query: CaptureQuery) -> Pending<'_, Deleted> {
        let deleted = self.with(|shelf, pins| {
            let ids: Vec<_> = shelf.meant(&query).map(|row| row.id.0).collect();
            let deleted = shelf.remove(&ids, pins);
            let stay = |pin: &&(i64, i64)| ids.contains(&pin.1);
            let (captures, replays): (BTreeSet<_>, BTreeSet<_>) = pins
                .iter()
                .filter(stay)
                .map(|(replay, capture)| (*capture, *replay))
                .unzip();
            (deleted, captures.len(), replays)
        });
        Box::pin(async move {
            let (deleted, pinned, replays) = deleted.await?;
            let state = |id: i64| Some((id, self.state(id)?));
            Ok(Deleted {
                deleted,
                pinned: u64::try_from(pinned).unwrap_or(u64::MAX),
                replays: replays.into_iter().filter_map(state).collect(),
            })
        })
    }

    fn capture_stats(&self) -> Pending<'_, CaptureStats> {
        self.with(|shelf, _| {
            let tell = |stream: &Stream| StreamStats {
                received: stream.received.ranges().to_vec(),
                missing: stream.received.missing(stream.told.ledger.assigned),
                ..stream.told.clone()
            };
            let (first, last) = (shelf.captures.keys().next(), shelf.captures.keys().next_back());
            CaptureStats {
                count: u64::try_from(shelf.captures.len()).unwrap_or(u64::MAX),
                bytes: shelf.bytes(),
                ids: first.copied().zip(last.copied()),
                streams: shelf.streams.iter().rev().map(tell).collect(),
            }
        })
    }

    fn retain(&self, retention: Retention) -> Pending<'_, u64> {
        self.with(|shelf, pins| {
            let mut oldest: Vec<_> = shelf
                .captures
                .values()
                .map(|each| (each.row.received_at, each.row.id.0))
                .collect();
            oldest.retain(|(_, id)| !pins.iter().any(|(_, capture)| capture == id));
            oldest.truncate(usize::try_from(retention.count_max).unwrap_or(usize::MAX));
            let pinned: u64 = shelf.pinned(pins).map(bytes).sum();
            let (most, mut deleted) = (retention.count_max, 0);
            for (received_at, id) in oldest {
                let is_old = retention.before.is_some_and(|before| received_at < before);
                if !is_old && retention.bytes_max.is_none_or(|bytes| shelf.bytes() - pinned <= bytes) {
                    break;
                }
                deleted += shelf.remove(&[id], pins);
            }
            if let Some(before) = retention.before.filter(|_| deleted < most) {
                shelf.forget_streams(before, pins);
            }
            deleted
        })
    }

    fn give_up(&self, before: UnixMillis) -> Pending<'_, u64> {
        self.with(|shelf, _| {
            let silent = |stream: &&Stream| stream.told.last_at < before;
            let silent: Vec<_> = shelf
                .streams
                .iter()
                .filter(silent)
                .map(|stream| stream.told.epoch)
                .collect();
            let begun = |row: &CaptureRow| [State::Begun, State::Forwarded].contains(&row.state);
            let is_lost = |row: &CaptureRow| begun(row) && row.epoch.is_some_and(|epoch| silent.contains(&epoch));
            let mut count = 0;
            for capture in shelf.captures.values_mut().filter(|each| is_lost(&each.row)) {
                capture.row.state = State::Unknown;
                count += 1;
            }
            count
        })
    }
}
