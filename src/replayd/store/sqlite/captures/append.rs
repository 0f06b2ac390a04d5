//! How captures get in: exactly once, however often they travel.

use super::super::super::captures::{
    Appended, Capture, CaptureId, NewCapture, REQUEST_MISSING, RangeSet, StreamBatch, is_refusal,
};
use super::inserts::{Place, Ready, Spent};
use super::rows::{Rows, whole, whole_i64};
use super::{StoreError, streams};
use reprise_core::wire::State;
use rusqlite::{Connection, OptionalExtension as _};

/// A batch, as far as it can be prepared without the database.
pub(super) struct Prepared {
    batch: StreamBatch,
    items: Vec<Item>,
}

struct Item {
    seq: u64,
    content: Content,
}

impl Item {
    /// Lists the numbers that it may make known.
    fn numbers(&self) -> impl Iterator<Item = u64> + Clone + use<> {
        let refused = match &self.content {
            Content::Ending(exchange, ending) if is_refusal(&ending.row) => Some(*exchange),
            Content::Whole(_) | Content::Beginning(_) | Content::Ending(..) => None,
        };
        [Some(self.seq), refused].into_iter().flatten()
    }
}

enum Content {
    /// A capture that stands for itself.
    Whole(Box<Ready>),
    /// A capture whose end is to come.
    Beginning(Box<Capture>),
    /// The end of the capture with this number.
    Ending(u64, Box<Capture>),
}

impl Prepared {
    /// Encodes the captures of `batch`.
    pub(super) fn from_batch(mut batch: StreamBatch) -> Self {
        let items = std::mem::take(&mut batch.captures).into_iter().map(item).collect();
        Self { batch, items }
    }

    /// Writes what is new; tells which numbers of the batch are stored, and gives back what was written.
    pub(super) fn write(self, connection: &Connection) -> Result<(Appended, Spent), StoreError> {
        let stream = streams::hear(connection, &self.batch)?;
        let before = streams::near(connection, stream, self.items.iter().flat_map(Item::numbers))?;
        let (mut ranges, mut stored, mut duplicates) = (RangeSet::default(), 0_u64, 0_u64);
        let mut writer = Writer {
            connection,
            stream,
            here: before.clone(),
            rows: Rows::new(connection)?,
        };
        for item in self.items {
            ranges.insert(item.seq);
            if writer.here.insert(item.seq) {
                writer.write(item)?;
                stored = stored.saturating_add(1);
            } else {
                duplicates = duplicates.saturating_add(1);
            }
        }
        let spent = writer.rows.finish()?;
        streams::replace_ranges(connection, stream, &before, &writer.here)?;
        streams::add_duplicates(connection, stream, duplicates)?;
        let appended = Appended {
            ranges: ranges.into_ranges(),
            stored,
            duplicates,
        };
        Ok((appended, spent))
    }
}

fn item(new: NewCapture) -> Item {
    let NewCapture {
        seq,
        exchange,
        mut capture,
    } = new;
    // What a row says of its number is what the stream says.
    capture.row.seq = seq;
    let is_open = matches!(capture.row.state, State::Begun | State::Forwarded);
    let content = match exchange {
        0 if is_open => Content::Beginning(Box::new(capture)),
        0 => Content::Whole(Box::new(Ready::new(capture))),
        exchange => Content::Ending(exchange, Box::new(capture)),
    };
    Item { seq, content }
}

/// Writes the captures of one batch.
struct Writer<'a> {
    connection: &'a Connection,
    stream: i64,
    here: RangeSet,
    rows: Rows<'a>,
}

impl Writer<'_> {
    fn write(&mut self, item: Item) -> Result<(), StoreError> {
        match item.content {
            Content::Whole(ready) => self.rows.insert(self.place(0), *ready).map(drop),
            Content::Beginning(beginning) => self.begin(*beginning),
            Content::Ending(exchange, ending) => self.end(exchange, *ending),
        }
    }

    /// Writes a beginning; an ending that overtook it is joined to it.
    fn begin(&mut self, mut beginning: Capture) -> Result<(), StoreError> {
        let lone = "SELECT id FROM captures WHERE stream = ?1 AND exchange = ?2 AND exchange > 0";
        if let Some(id) = self.find(lone, beginning.row.seq)?
            && let Some(mut ending) = whole(self.connection, CaptureId(id))?
        {
            ending.row.not_replayable.clear();
            self.rows.remove(id)?;
            beginning.end(ending);
        }
        self.insert(0, beginning)
    }

    /// Joins an ending to its beginning. If that is gone the ending goes too; if it did not come yet, the ending waits
    /// as a capture of its own, or settles that the request never left: its beginning is not needed any more then.
    fn end(&mut self, exchange: u64, ending: Capture) -> Result<(), StoreError> {
        let open = "SELECT id FROM captures WHERE stream = ?1 AND seq = ?2 AND state IN (1, 2, 5)";
        if let Some(id) = self.find(open, exchange)?
            && let Some(mut beginning) = whole(self.connection, CaptureId(id))?
        {
            beginning.end(ending);
            return self.rows.replace(id, beginning);
        }
        if self.here.contains(exchange) || streams::has(self.connection, self.stream, exchange)? {
            return Ok(());
        }
        if is_refusal(&ending.row) {
            self.here.insert(exchange);
            return Ok(());
        }
        let mut lone = ending;
        REQUEST_MISSING.clone_into(&mut lone.row.not_replayable);
        self.insert(exchange, lone)
    }

    fn insert(&mut self, exchange: u64, capture: Capture) -> Result<(), StoreError> {
        let place = self.place(exchange);
        self.rows.insert(place, Ready::new(capture)).map(drop)
    }

    const fn place(&self, exchange: u64) -> Place {
        Place {
            stream: Some(self.stream),
            exchange,
        }
    }

    fn find(&mut self, query: &'static str, number: u64) -> Result<Option<i64>, StoreError> {
        self.rows.flush()?;
        let mut find = self.connection.prepare_cached(query)?;
        Ok(find
            .query_row((self.stream, whole_i64(number)), |row| row.get(0))
            .optional()?)
    }
}
