//! Which captures a replay sends: the list is read page by page, and each capture is judged by the core.

use super::meant::Meant;
use super::withheld::{Told, kind, tokens, told, withheld};
use crate::clock::UnixMillis;
use crate::store::captures::{Capture, CaptureColumn, CaptureId, CaptureOrder, CaptureRow, Captures, Epoch, Page};
use crate::store::{BootLedger, StoreError};
use reprise_core::http::Pairs;
use reprise_core::replay::clock::{Reading, clocks};
use reprise_core::replay::compact::{Mutation, Rule, compact};
use reprise_core::replay::hidden::Hidden;
use reprise_core::replay::per_key::{Asked, PerKey};
use reprise_core::replay::schedule::Item;
use reprise_core::replay::select::{Body, Boot, Choice, Facts, LeftOut, choose};
use reprise_core::replay::step::{Doubt, OnDoubt, Settlement, is_idempotent, settle};
use reprise_core::wire::State;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Captures that are looked at together.
const PAGE: u32 = 500;
/// Why a capture is left out that the target has.
const KNOWN: &str = "on the target already";

/// What a replay sends, and what not.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// How many captures were looked at.
    pub(crate) captures: u64,
    /// What is sent, in the order of the captures' numbers.
    pub(crate) sends: Vec<Chosen>,
    /// What is not sent, because not all of it is known: a restore lacks it.
    gaps: Vec<Chosen>,
    /// What is not sent, and may make up for what would be.
    rest: Vec<Chosen>,
    /// What the responses of the others tell anew.
    told: Told,
    /// What is left out, by reason.
    pub(crate) left_out: BTreeMap<String, u64>,
    /// Mutations that clients made on the new boot.
    pub(crate) early: Vec<i64>,
    /// What an earlier restore sent to this boot without seeing a response, and nobody decided about.
    pub(crate) in_doubt: Vec<i64>,
}

/// A capture that is sent.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// Its number.
    pub(crate) id: CaptureId,
    /// Its method.
    pub(crate) method: String,
    /// Its target, with query.
    pub(crate) target: String,
    /// The status that was recorded.
    pub(crate) status: Option<u16>,
    /// When it is sent.
    pub(crate) item: Item,
    is_weak: bool,
    /// What is not known of it, and the tokens that stand for that.
    hidden: Option<(Hidden, Vec<Vec<u8>>)>,
    fate: Fate,
    epoch: Option<Epoch>,
    began_at: UnixMillis,
}

/// What becomes of a capture, and what the boot has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is sent.
    Send,
    /// It is sent again, and the boot may have it.
    Resend,
    /// It is not sent: the boot has it, or is said to.
    There,
    /// It cannot be sent.
    Missing(LeftOut),
}

/// The boot that is to be restored, and what it has.
#[derive(Debug, Clone)]
pub(crate) struct Restoring {
    /// Its id.
    pub(crate) boot_id: String,
    /// When it was heard of first.
    pub(crate) seen_at: UnixMillis,
    /// When a restore had brought everything back; none if none did.
    pub(crate) whole_since: Option<UnixMillis>,
    /// What it has from restores, and what it may have.
    pub(crate) ledger: BootLedger,
    /// What becomes of what it may have.
    pub(crate) on_doubt: Option<OnDoubt>,
    /// Whether the target runs two requests with one key once.
    pub(crate) honours_keys: bool,
}

/// Looks at all captures that are meant.
///
/// A capture that `rules` make superfluous is not sent; there are some in a restore only.
pub(crate) async fn select(
    captures: &dyn Captures,
    meant: &Meant,
    boot: Option<&Restoring>,
    rules: &[Rule],
) -> Result<Selection, StoreError> {
    let mut selection = Selection::default();
    let order = CaptureOrder {
        by: CaptureColumn::Id,
        descending: meant.count.is_some(),
    };
    let wanted = usize::try_from(meant.count.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut after = None;
    loop {
        let Page { rows, next } = captures.page(meant.query.clone(), order, after, PAGE).await?;
        let wholes = wholes(captures, meant, &rows, !rules.is_empty()).await?;
        for row in rows {
            if selection.sends.len() >= wanted {
                break;
            }
            let whole = wholes.get(&row.id);
            selection.take(row, whole, meant, boot);
        }
        after = next;
        if after.is_none() || selection.sends.len() >= wanted {
            break;
        }
    }
    selection.early.sort_unstable();
    selection.compact(rules);
    Ok(selection)
}

/// Fetches those whose row does not tell enough.
async fn wholes(
    captures: &dyn Captures,
    meant: &Meant,
    rows: &[CaptureRow],
    is_all: bool,
) -> Result<HashMap<CaptureId, Capture>, StoreError> {
    let is_all = is_all || meant.key.needs_request();
    let ids: Vec<_> = rows
        .iter()
        .filter(|row| is_all || row.truncated || row.redacted || row.state != State::Completed)
        .map(|row| row.id)
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found = captures.captures(ids).await?;
    Ok(found.into_iter().map(|capture| (capture.row.id, capture)).collect())
}

impl Chosen {
    /// Tells why it is not sent.
    fn why(&self) -> String {
        match (&self.hidden, self.fate) {
            (_, Fate::Missing(why)) => reason(why).to_owned(),
            (Some((why, _)), _) => told(why),
            (None, _) => String::new(),
        }
    }

    const fn mutation(&self) -> Mutation<'_> {
        Mutation {
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            status: self.status,
            is_weak: self.is_weak,
            is_there: matches!(self.fate, Fate::Resend | Fate::There),
            item: self.item,
        }
    }
}

impl Selection {
    fn take(&mut self, row: CaptureRow, whole: Option<&Capture>, meant: &Meant, boot: Option<&Restoring>) {
        self.captures = self.captures.saturating_add(1);
        let Some(fate) = self.fate(&row, whole, meant, boot) else {
            return;
        };
        let sent = whole.filter(|_| matches!(fate, Fate::Send | Fate::Resend));
        if let Some(capture) = sent.filter(|_| meant.auto_map) {
            self.told.hear(capture);
        }
        let hidden = sent.and_then(|capture| Some((withheld(capture, meant)?, tokens(capture, meant.is_trusted))));
        let is_stuck = match fate {
            Fate::Send => hidden.is_some(),
            Fate::Missing(_) => whole.is_some(),
            Fate::Resend | Fate::There => false,
        };
        let is_weak = is_stuck || whole.is_some_and(is_conditional);
        let list = match fate {
            Fate::Send | Fate::Resend => &mut self.sends,
            Fate::Missing(_) | Fate::There => &mut self.rest,
        };
        list.push(Chosen {
            id: row.id,
            is_weak,
            hidden,
            fate,
            epoch: row.epoch,
            began_at: row.began_at,
            item: Item {
                began_us: row.began_us,
                ended_us: row.ended_us,
                stream: 0,
                received: u64::try_from(row.id.0).unwrap_or_default(),
                key: key(&row, whole, &meant.key),
            },
            method: row.method,
            target: row.target,
            status: row.status,
        });
    }

    /// Decides on a capture; none if it is left out for good.
    fn fate(
        &mut self,
        row: &CaptureRow,
        whole: Option<&Capture>,
        meant: &Meant,
        boot: Option<&Restoring>,
    ) -> Option<Fate> {
        let facts = Facts {
            method: row.method.as_bytes(),
            state: row.state,
            reason: &row.reason,
            status: row.status,
            not_replayable: &row.not_replayable,
            boot_id: &row.boot_id,
            began_unix_ms: u64::try_from(row.began_at.0).unwrap_or_default(),
            body: whole.map_or(Body::Whole, |capture| Body::of(&capture.request)),
        };
        let is_known = boot.is_some_and(|boot| boot.ledger.sure.binary_search(&row.id.0).is_ok());
        let of = boot.map(|boot| Boot {
            id: &boot.boot_id,
            seen_unix_ms: u64::try_from(boot.seen_at.0).ok(),
            whole_unix_ms: boot.whole_since.and_then(|since| u64::try_from(since.0).ok()),
        });
        Some(match choose(&facts, &meant.rules, of.as_ref(), is_known) {
            Choice::Send => self.doubted(row, boot, Fate::Send),
            Choice::Missing(why) => self.doubted(row, boot, Fate::Missing(why)),
            Choice::Known => {
                self.leave_out(KNOWN);
                Fate::There
            }
            Choice::Early => {
                self.early.push(row.id.0);
                Fate::There
            }
            Choice::LeftOut(why) => {
                self.leave_out(reason(why));
                return None;
            }
        })
    }

    /// Decides on what would be sent, and what the boot may have.
    fn doubted(&mut self, row: &CaptureRow, boot: Option<&Restoring>, fate: Fate) -> Fate {
        let is_maybe = |boot: &&Restoring| boot.ledger.maybe.binary_search(&row.id.0).is_ok();
        let Some(boot) = boot.filter(is_maybe) else {
            return fate;
        };
        let doubt = Doubt {
            is_idempotent: is_idempotent(row.method.as_bytes()),
            // The keys of all restores of one boot are the same.
            has_key: true,
            honours_keys: boot.honours_keys,
        };
        match settle(boot.on_doubt, doubt) {
            Settlement::Resend if fate == Fate::Send => return Fate::Resend,
            Settlement::Resend => return fate,
            Settlement::Skip => self.leave_out("perhaps on the target already"),
            Settlement::Ask | Settlement::Stop => self.in_doubt.push(row.id.0),
        }
        Fate::There
    }

    /// Leaves out what something later makes up for, be it sent or there.
    fn compact(&mut self, rules: &[Rule]) {
        let mut all = std::mem::take(&mut self.rest);
        all.append(&mut self.sends);
        all.sort_unstable_by_key(|chosen| chosen.id);
        Streams::default().tell(&mut all);
        if all.iter().all(|chosen| chosen.fate == Fate::There) && self.in_doubt.is_empty() {
            self.forgive();
        }
        let mutations: Vec<_> = all.iter().map(Chosen::mutation).collect();
        let superseded: HashSet<_> = compact(&mutations, rules).into_iter().map(|each| each.at).collect();
        for (at, chosen) in all.into_iter().enumerate() {
            match chosen.fate {
                Fate::There => {}
                _ if superseded.contains(&at) => self.leave_out("made up for by something later"),
                Fate::Send | Fate::Resend => self.sends.push(chosen),
                Fate::Missing(why) => {
                    self.leave_out(reason(why));
                    self.gaps.push(chosen);
                }
            }
        }
    }

    /// Where nothing is to be brought back, nothing was too early for it.
    fn forgive(&mut self) {
        for _ in std::mem::take(&mut self.early) {
            self.leave_out(KNOWN);
        }
    }

    /// Shows what becomes a step: what is sent, and what would have to be.
    pub(crate) fn steps(&self) -> Vec<&Chosen> {
        let mut steps: Vec<_> = self.sends.iter().chain(&self.gaps).collect();
        steps.sort_unstable_by_key(|chosen| chosen.id);
        steps
    }

    /// Takes out what would not be sent as it is: what is not known of it, unless a response before it may tell that.
    pub(crate) fn withhold(&mut self) -> Vec<(Chosen, String)> {
        let told = std::mem::take(&mut self.told);
        let is_withheld = |chosen: &mut Chosen| {
            let hidden = chosen.hidden.as_ref();
            hidden.is_some_and(|(_, tokens)| !told.has(chosen.id.0, tokens))
        };
        let withheld: Vec<_> = self.sends.extract_if(.., is_withheld).collect();
        let mut all: Vec<_> = self.gaps.iter().map(|gap| (gap.clone(), gap.why())).collect();
        for chosen in withheld {
            if let Some((why, _)) = &chosen.hidden {
                self.leave_out(kind(why));
            }
            let why = chosen.why();
            all.push((chosen, why));
        }
        all.sort_unstable_by_key(|(chosen, _)| chosen.id);
        all
    }

    fn leave_out(&mut self, reason: &str) {
        let count = self.left_out.entry(reason.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
}

/// Tells whether a request asked for a state to be there before.
fn is_conditional(capture: &Capture) -> bool {
    let mut pairs = Pairs::new(&capture.request.pairs);
    pairs.any(|(name, _)| name.starts_with(b"if-"))
}

/// Tells why a capture is left out.
pub(crate) const fn reason(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Safe => "changes nothing",
        LeftOut::NotReplayable => "cannot be sent again",
        LeftOut::Redacted => "body redacted as a whole",
        LeftOut::Truncated => "body not whole; --force sends it",
        LeftOut::Broken => "client went away before the end",
        LeftOut::Incomplete => "end not seen",
        LeftOut::NotSent => "never reached the application",
        LeftOut::Status => "status not meant",
    }
}

/// Names what mode `per_key` keeps in order; where the row says it, nothing more has to be read.
fn key(row: &CaptureRow, whole: Option<&Capture>, of: &PerKey) -> u64 {
    of.row(&Asked {
        target: row.target.as_bytes(),
        principal: &row.principal,
        request: whole.map(|capture| &capture.request),
    })
}

/// The clocks of all streams.
#[derive(Debug, Default)]
struct Streams {
    numbers: HashMap<Option<Epoch>, u32>,
    readings: Vec<Reading>,
    imported_until_us: u64,
}

impl Streams {
    /// Tells all times by the clocks of their machines; `sends` are in the order of receipt.
    fn tell(mut self, sends: &mut [Chosen]) {
        for chosen in &mut *sends {
            self.read(chosen);
        }
        let clocks = clocks(&self.readings);
        for chosen in sends {
            let item = &mut chosen.item;
            let at = usize::try_from(item.stream).unwrap_or(usize::MAX);
            let Some(clock) = clocks.get(at) else { continue };
            item.began_us = clock.unix_us(item.began_us);
            if item.ended_us > 0 {
                item.ended_us = clock.unix_us(item.ended_us);
            }
            item.stream = clock.number;
        }
    }

    /// Finds the stream of a capture; an imported one gets times of the wall clock.
    fn read(&mut self, chosen: &mut Chosen) {
        let unix_ms = u64::try_from(chosen.began_at.0).unwrap_or_default();
        let mut mono_us = chosen.item.began_us;
        if chosen.epoch.is_none() {
            mono_us = unix_ms.saturating_mul(1000);
            self.import(&mut chosen.item, mono_us);
        }
        let next = u32::try_from(self.readings.len()).unwrap_or(u32::MAX);
        chosen.item.stream = *self.numbers.entry(chosen.epoch).or_insert(next);
        if chosen.item.stream == next {
            self.readings.push(Reading { mono_us, unix_ms });
        }
    }

    /// Gives an imported capture its times: without a duration it stands between those before and after it.
    fn import(&mut self, item: &mut Item, began_us: u64) {
        let took_us = item.ended_us.saturating_sub(item.began_us);
        item.began_us = began_us.max(self.imported_until_us.saturating_add(1));
        if took_us > 0 {
            item.began_us = began_us;
        }
        item.ended_us = item.began_us.saturating_add(took_us);
        self.imported_until_us = self.imported_until_us.max(item.began_us);
    }
}
