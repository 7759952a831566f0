//! What the backoffs of other crates keep, beside ours.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use examples::timeline::short;

use super::instructions;
use crate::CAP;

/// Clients that are looked at.
const CLIENTS: u64 = 200;
/// By then every one of them has come to the end of its growth.
const AT_CAP: u32 = 20;
/// An outage of a day at a cap of 10 s has fewer.
const LONG: u32 = 10_000;

/// The wait after the n-th failure; nothing where it has ended.
type Waits = Box<dyn FnMut(u32) -> Option<Duration>>;
/// The waits of the client with this seed.
type Client = fn(u64) -> Waits;

pub(super) fn section() -> io::Result<String> {
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let counted = instructions::all();
    let rows = crate::standing_clock(|| rows(&counted));
    panic::set_hook(quiet);
    Ok(format!(
        "\n## Laws of waiting\n\nOf {CLIENTS} clients each: the longest of their first {AT_CAP} waits (the cap is {} s); how far \
         apart their waits are at the cap; whether one goes on for {LONG} failures; whether the same seed gives the \
         same waits (a crate that takes no seed cannot); how many of the first waits differ (those of retry-policies are \
         read to the millisecond here, as it tells a time and not a wait); what one wait costs, in instructions, as callgrind \
         counts them (it is not what all of them do: tower makes a sleep, retry-policies reads the clock).\n\n\
         | crate | longest wait | cap held after jitter | spread at the cap | {LONG} failures | same seed, same waits | first waits that differ | instructions each |\n\
         |---|---|---|---|---|---|---|---|\n{}",
        CAP.as_secs(),
        rows?
    ))
}

fn rows(counted: &[Option<u64>]) -> String {
    let contestants: [(&str, Client); 8] = [
        ("failover-core (equal jitter)", ours),
        ("backoff", |_| each(crate::backoff())),
        ("backon", |seed| forever(crate::backon(seed))),
        ("exponential-backoff", |_| {
            forever(crate::exponential_backoff())
        }),
        ("retry-policies", |_| each(crate::retry_policies())),
        ("stubborn-io", |seed| forever(crate::stubborn_io(seed))),
        ("tokio-retry", |_| forever(crate::tokio_retry())),
        ("tower", |_| each(crate::tower())),
    ];
    let mut text = String::new();
    for (at, (name, client)) in contestants.into_iter().enumerate() {
        let traces: Vec<Vec<Duration>> = (0..CLIENTS).map(|seed| trace(client(seed))).collect();
        let longest = traces.iter().flatten().max().copied().unwrap_or_default();
        let at_cap = || traces.iter().filter_map(|waits| waits.last());
        let spread = match (at_cap().min(), at_cap().max()) {
            (Some(min), Some(max)) => *max - *min,
            _ => Duration::ZERO,
        };
        let firsts: BTreeSet<Duration> = traces.iter().filter_map(|w| w.first().copied()).collect();
        let spread = if spread.is_zero() {
            "**none**".to_string()
        } else {
            short(spread)
        };
        let _ = writeln!(
            text,
            "| {name} | {:.2} s | {} | {spread} | {} | {} | {} of {CLIENTS} | {} |",
            longest.as_secs_f64(),
            yes(longest <= CAP),
            survives(client(1)),
            yes(trace(client(7)) == trace(client(7))),
            firsts.len(),
            counted
                .get(at)
                .copied()
                .flatten()
                .map_or("not counted".to_string(), |n| n.to_string()),
        );
    }
    text
}

fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "**no**" }
}

fn trace(waits: Waits) -> Vec<Duration> {
    (1..=AT_CAP).map_while(waits).collect()
}

/// Whether it goes on; otherwise at which failure it ends, and how.
fn survives(mut waits: Waits) -> String {
    for n in 1..=LONG {
        match panic::catch_unwind(AssertUnwindSafe(|| waits(n))) {
            Err(_) => return format!("**panics at the {n}th**"),
            Ok(None) => return format!("**ends at the {n}th**"),
            Ok(Some(_)) => {}
        }
    }
    "goes on".to_string()
}

fn ours(seed: u64) -> Waits {
    let policy = crate::ours();
    let mut waits = crate::waits(&policy, seed);
    // Taken in advance, as they borrow the policy.
    let taken: Vec<Duration> = (0..LONG).map(|_| waits.next_wait()).collect();
    forever(taken.into_iter())
}

fn each(mut wait: impl FnMut(u32) -> Duration + 'static) -> Waits {
    Box::new(move |n| Some(wait(n)).filter(|wait| !wait.is_zero()))
}

fn forever(mut waits: impl Iterator<Item = Duration> + 'static) -> Waits {
    Box::new(move |_| waits.next())
}
