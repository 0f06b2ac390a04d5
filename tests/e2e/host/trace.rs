//! Envoy's own trace of what crosses the edge of a VM.

use reprise_tests::harness::{Settings, Stack, eventually};
use std::time::Duration;

/// Which way something crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Envoy calls the filter.
    Callback,
    /// The filter is done with what Envoy called.
    Result,
    /// The filter calls Envoy.
    HostCall,
}

/// One line of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The thread: each worker has one, and a VM on it.
    pub(super) thread: String,
    pub(super) way: Way,
    /// The function, without its prefix.
    pub(super) name: String,
    /// The call's arguments, or its one result.
    pub(super) numbers: Vec<usize>,
}

/// Starts a stack whose Envoy traces from now on.
pub(super) async fn traced(settings: Settings) -> Option<Stack> {
    let stack = settings.start().await?;
    let levels = stack.admin("POST", "/logging?wasm=trace").await;
    assert!(levels.contains("wasm: trace"), "{levels}");
    Some(stack)
}

/// Reads the trace so far.
pub(super) fn lines(stack: &Stack) -> Vec<Line> {
    stack.log().lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let (front, rest) = text.split_once("][trace][wasm] [")?;
    let (_source, rest) = rest.split_once("] [")?;
    let (way, what) = rest.split_once("] ")?;
    let way = match way {
        "host->vm" => Way::Callback,
        "host<-vm" => Way::Result,
        "vm->host" => Way::HostCall,
        _ => return None,
    };
    let (name, numbers) = what.split_once('(').or_else(|| what.split_once(" return: "))?;
    let prefixes = ["proxy_on_", "env.proxy_"];
    let name = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let numbers = numbers.trim_end_matches(')').split(", ");
    Some(Line {
        thread: front.rsplit('[').next()?.to_owned(),
        way,
        name: name.to_owned(),
        numbers: numbers.filter_map(|number| number.parse().ok()).collect(),
    })
}

/// What crossed for one exchange.
#[derive(Debug, Clone)]
pub(super) struct Exchange(Vec<Line>);

impl Exchange {
    /// Finds the exchange that began with `first` among lines that follow it.
    fn of(first: &Line, lines: &[Line]) -> Self {
        let mut own = Vec::new();
        let mut is_own = false;
        for line in lines.iter().filter(|line| line.thread == first.thread) {
            // Envoy asks for memory within other callbacks.
            if line.name == "memory_allocate" {
                continue;
            }
            if line.way == Way::Callback {
                is_own = line.numbers.first() == first.numbers.first();
            }
            if is_own {
                own.push(line.clone());
            }
        }
        Self(own)
    }

    fn callbacks(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(|line| line.way == Way::Callback)
    }

    /// Names the callbacks in their order, with `ended` where a half ends. How many pieces a body comes in is chance: of a
    /// body only its end is told.
    pub(super) fn story(&self) -> Vec<String> {
        self.callbacks()
            .filter_map(|line| match (line.name.as_str(), line.numbers.as_slice()) {
                (name, [_, _, 1]) => Some(format!("{name} ended")),
                ("request_body" | "response_body", _) => None,
                (name, _) => Some(name.to_owned()),
            })
            .collect()
    }

    /// Counts how often a callback was called.
    pub(super) fn times(&self, name: &str) -> usize {
        self.callbacks().filter(|line| line.name == name).count()
    }

    /// Counts the bytes of the request's body that the filter took: what is held is shown again with the next piece.
    pub(super) fn request_bytes(&self) -> usize {
        let taken = self.0.iter().filter(|line| line.name == "get_buffer_bytes");
        taken
            .filter_map(|line| match line.numbers.as_slice() {
                [0, _start, len, ..] => Some(len),
                _ => None,
            })
            .sum()
    }

    /// Gives the first result of a callback: 0 goes on, 1 holds.
    pub(super) fn result(&self, name: &str) -> Option<usize> {
        let results = self.0.iter().filter(|line| line.way == Way::Result);
        results
            .filter(|line| line.name == name)
            .find_map(|line| line.numbers.first().copied())
    }

    fn is_over(&self) -> bool {
        self.callbacks().any(|line| line.name == "delete")
    }
}

/// Waits until `count` exchanges are over; gives them in the order of their beginnings.
pub(super) async fn exchanges(stack: &Stack, count: usize) -> Vec<Exchange> {
    eventually("the exchanges are over", Duration::from_secs(10), || async {
        let lines = lines(stack);
        let is_first = |line: &Line| line.way == Way::Callback && line.name == "context_create";
        let begun: Vec<_> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| is_first(line))
            .map(|(at, first)| Exchange::of(first, &lines[at..]))
            .collect();
        let over = begun.iter().filter(|exchange| exchange.is_over()).count();
        if over == count {
            Ok(begun)
        } else {
            Err(format!("{over} are over"))
        }
    })
    .await
}
