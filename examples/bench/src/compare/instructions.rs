//! How many instructions one wait costs, counted by valgrind where that is installed.

use std::hint::black_box;
use std::io;
use std::process::Command;
use std::time::SystemTime;

use retry_policies::RetryPolicy;
use tower::retry::backoff::Backoff as _;

/// The argument by which a program becomes one that draws waits: it is followed by a name, or `bare`, and
/// a number.
const FLAG: &str = "--as-waits";
/// The names, in the order of the table of the laws.
const NAMES: [&str; 8] = [
    "failover-core",
    "backoff",
    "backon",
    "exponential-backoff",
    "retry-policies",
    "stubborn-io",
    "tokio-retry",
    "tower",
];
/// How many waits are drawn; and twice as many: the difference is theirs alone.
const WAITS: u64 = 20_000;

/// What to do if this process was started to draw waits.
pub(super) fn part() -> Option<io::Result<()>> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == FLAG).then(|| {
        let name = arguments.next().unwrap_or_default();
        let number = arguments.next().and_then(|number| number.parse().ok());
        draw(&name, number.unwrap_or(0))
    })
}

/// Of each, in the order of the names; nothing where it could not be counted.
pub(super) fn all() -> Vec<Option<u64>> {
    let of = |name: &&str| {
        let (once, twice) = (counted(name, WAITS)?, counted(name, 2 * WAITS)?);
        Some(twice.saturating_sub(once) / WAITS)
    };
    NAMES.iter().map(of).collect()
}

/// The instructions of a process that draws so many.
fn counted(name: &str, number: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args([FLAG, name, &number.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line?.1.trim().parse().ok()
}

fn draw(name: &str, number: u64) -> io::Result<()> {
    let policy = crate::ours();
    match name {
        "failover-core" => each(number, crate::waits(&policy, 1)),
        "bare" => each(number, crate::bare(1)),
        "backoff" => {
            let mut wait = crate::backoff();
            each(number, std::iter::repeat_with(|| wait(1)));
        }
        "backon" => each(number, crate::backon(1)),
        "exponential-backoff" => each(number, crate::exponential_backoff()),
        "retry-policies" => {
            let policy = crate::retry_policies_policy();
            let (start, mut past) = (SystemTime::now(), 0);
            let next = || {
                past += 1;
                policy.should_retry(black_box(start), past)
            };
            each(number, std::iter::repeat_with(next));
        }
        "stubborn-io" => {
            // It panics at the 69th of a series.
            let mut series = crate::stubborn_io(1).take(60);
            let next = || {
                series.next().or_else(|| {
                    series = crate::stubborn_io(1).take(60);
                    series.next()
                })
            };
            each(number, std::iter::repeat_with(next));
        }
        "tokio-retry" => each(number, crate::tokio_retry()),
        "tower" => crate::standing_clock(|| {
            let mut backoff = crate::tower_backoff();
            each(
                number,
                std::iter::repeat_with(|| drop(black_box(backoff.next_backoff()))),
            );
        })?,
        _ => {
            return Err(io::Error::other(format!(
                "there are no waits called {name:?}"
            )));
        }
    }
    Ok(())
}

fn each(number: u64, mut waits: impl Iterator) {
    for _ in 0..number {
        black_box(waits.next());
    }
}
