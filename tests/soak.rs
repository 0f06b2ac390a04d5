//! The history check for as long as one likes: `soak MINUTES [--seed N]`, as `scripts/soak.sh` calls it.
//!
//! It tells once a minute what it saw, and ends with 1 if anything was wrong: a fault in a history, or an Envoy that
//! needs more memory at the end than after two minutes.
#![expect(clippy::print_stdout, reason = "it is there to be read")]

use reprise_tests::harness::{Process, Stack, Stopwatch};
use reprise_tests::history::{Check, Size, VM_RELOADS, settings};
use std::hash::{BuildHasher as _, RandomState};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "soak MINUTES [--seed N]: MINUTES is 1 or more, N a number";
/// Short, so that the number of live records is steady before memory is looked at.
const RETAIN: Duration = Duration::from_secs(5);
/// When the memory is looked at that the end is compared with, in minutes.
const STEADY_MINUTES: u64 = 2;
/// How much more than then Envoy may need at the end, in percent.
const GROWTH_MAX_PERCENT: u64 = 5;
const SIZE: Size = Size {
    clients: 32,
    keys: 2000,
    traps: 4,
};
const MINUTE: Duration = Duration::from_secs(60);

struct Asked {
    minutes: u64,
    seed: u64,
}

impl Asked {
    fn read(arguments: &[String]) -> Option<Self> {
        let (minutes, seed) = match arguments {
            [minutes] => (minutes, RandomState::new().hash_one(0) >> 32),
            [minutes, flag, seed] if flag == "--seed" => (minutes, seed.parse().ok()?),
            _ => return None,
        };
        let minutes = minutes.parse().ok().filter(|minutes| *minutes >= 1)?;
        Some(Self { minutes, seed })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let Some(asked) = Asked::read(&arguments) else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    let Some(stack) = settings(RETAIN).start().await else {
        return ExitCode::FAILURE;
    };
    if soak(stack, &asked).await {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs it; tells whether all was well.
async fn soak(mut stack: Stack, asked: &Asked) -> bool {
    println!("seed {}", asked.seed);
    let envoy = stack.envoy().id();
    let mut check = Check::new(&stack, asked.seed, SIZE, RETAIN);
    let watch = Stopwatch::new();
    let (mut minute, mut steady_kib) = (0, None);
    while minute < asked.minutes {
        check.round().await;
        let passed = watch.elapsed().as_secs() / MINUTE.as_secs();
        if minute < passed {
            minute = passed;
            let rss_kib = Process::memory_kib_of(envoy);
            println!("minute {minute}: {}; RSS {rss_kib} KiB", check.tally());
            if minute >= STEADY_MINUTES {
                steady_kib.get_or_insert(rss_kib);
            }
        }
    }
    let tally = check.finish().await;
    let (end_kib, traps) = (Process::memory_kib_of(envoy), stack.gauge(VM_RELOADS).await);
    println!("end, seed {}: {tally}", asked.seed);
    println!("VM traps survived: {traps}");
    let is_flat = is_flat(steady_kib, end_kib);
    tally.faults() == 0 && is_flat
}

fn is_flat(steady_kib: Option<u64>, end_kib: u64) -> bool {
    let Some(steady_kib) = steady_kib else {
        println!("RSS {end_kib} KiB at the end; it is compared in runs of {STEADY_MINUTES} minutes and more");
        return true;
    };
    println!("RSS {steady_kib} KiB at minute {STEADY_MINUTES}, {end_kib} KiB at the end");
    end_kib * 100 <= steady_kib * (100 + GROWTH_MAX_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::{Asked, is_flat};

    #[track_caller]
    fn asked(arguments: &[&str], wanted: Option<(u64, Option<u64>)>) {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let read = Asked::read(&arguments);
        assert_eq!(
            read.as_ref().map(|read| read.minutes),
            wanted.map(|(minutes, _)| minutes)
        );
        let seed = wanted.and_then(|(_, seed)| seed);
        assert!(seed.is_none() || read.map(|read| read.seed) == seed);
    }

    #[test]
    fn minutes_and_a_seed_are_read() {
        asked(&["10"], Some((10, None)));
        asked(&["10", "--seed", "7"], Some((10, Some(7))));
        asked(&[], None);
        asked(&["0"], None);
        asked(&["10", "--seed"], None);
        asked(&["10", "--seed", "x"], None);
    }

    #[test]
    fn growth_by_more_than_five_percent_is_not_flat() {
        assert!(is_flat(Some(1000), 1050));
        assert!(!is_flat(Some(1000), 1051));
        assert!(is_flat(None, 1051));
    }
}
