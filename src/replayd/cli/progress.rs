//! How far a replay is: a bar for people who watch, a line a second otherwise.

use super::follow::number;
use super::output::Output;
use super::table::plain;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// Looks between two lines.
const LOOKS: u32 = 5;
/// The bar.
const TEMPLATE: &str = "{spinner} {wide_bar} {pos}/{len} {msg}";

/// The progress of one replay, on standard error.
pub(super) struct Progress {
    id: u64,
    bar: Option<ProgressBar>,
    told: String,
    looks: u32,
}

impl Progress {
    /// Begins at nothing.
    pub(super) fn new(id: u64) -> Self {
        let bar = Output::is_terminal_beside().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.with_style(ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self {
            id,
            bar,
            told: String::new(),
            looks: 0,
        }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, view: &Value, output: &mut Output) {
        let line = Line::of(view);
        if let Some(bar) = &self.bar {
            bar.set_length(line.planned);
            bar.set_position(line.done);
            bar.set_message(line.message());
            bar.tick();
            return;
        }
        let is_due = self.looks.is_multiple_of(LOOKS);
        self.looks = self.looks.wrapping_add(1);
        let text = line.text(self.id);
        if is_due && text != self.told {
            output.write_error(format_args!("{text}\n"));
            self.told = text;
        }
    }

    /// Says something beside it.
    pub(super) fn note(&self, text: &str, output: &mut Output) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => output.write_error(format_args!("{text}\n")),
        }
    }

    /// Asks something beside it.
    pub(super) fn prompt(&self, text: &str, output: &mut Output) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output.write_error(text)),
            None => output.write_error(text),
        }
    }

    /// Shows where it ended.
    pub(super) fn end(&self, view: &Value, output: &mut Output) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => output.write_error(format_args!("{}\n", Line::of(view).text(self.id))),
        }
    }
}

/// What is told of a replay while it runs.
struct Line {
    kind: String,
    state: String,
    planned: u64,
    done: u64,
    differed: u64,
    errors: u64,
    rate: f64,
    eta_s: Option<u64>,
}

impl Line {
    fn of(view: &Value) -> Self {
        let counts = view.get("counts").unwrap_or(&Value::Null);
        let done = ["answered", "skipped", "in_doubt"].map(|name| number(counts, name));
        let text = |name: &str| plain(view.get(name).and_then(Value::as_str).unwrap_or_default());
        Self {
            kind: text("kind"),
            state: text("state"),
            planned: number(counts, "planned"),
            done: done.into_iter().fold(0, u64::saturating_add),
            differed: number(counts, "differed"),
            errors: number(counts, "errors"),
            rate: view.get("rate").and_then(Value::as_f64).unwrap_or_default(),
            eta_s: view.get("eta_s").and_then(Value::as_u64),
        }
    }

    fn message(&self) -> String {
        let left = self
            .eta_s
            .map_or_else(String::new, |seconds| format!(", {} left", clock(seconds)));
        let (state, differed, errors, rate) = (&self.state, self.differed, self.errors, self.rate);
        format!("{state}: {rate:.0}/s, {differed} differ, {errors} errors{left}")
    }

    fn text(&self, id: u64) -> String {
        format!("{} {id}: {}/{} {}", self.kind, self.done, self.planned, self.message())
    }
}

/// Writes seconds as people read them.
fn clock(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_tells_rate_errors_and_time_left() {
        let counts = json!({"planned": 10, "answered": 4, "skipped": 1, "differed": 2, "errors": 3});
        let view = json!({"kind": "restore", "state": "running", "counts": counts, "rate": 12.4, "eta_s": 65});
        let want = "restore 7: 5/10 running: 12/s, 2 differ, 3 errors, 1m05s left";
        assert_eq!(Line::of(&view).text(7), want);
    }

    #[test]
    fn seconds_are_shown_as_people_read_them() {
        assert_eq!([0, 59, 60, 3661].map(clock), ["0s", "59s", "1m00s", "1h01m"]);
    }
}
