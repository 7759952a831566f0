//! Which of our laws of a backoff other crates' backoffs keep, as found by running them:
//! `cargo test --test peers_against_the_laws -- --nocapture`.

use std::time::Duration;

use failover_bench::{BASE, CAP};
use failover_core::testing::laws;

/// By then every one of them has come to the end of its growth.
const AT_CAP: u32 = 20;
/// What their jitters are documented to spread at the cap is several times this.
const WIDTH: Duration = Duration::from_millis(500);

#[test]
fn ours_keeps_every_law() {
    let policy = failover_bench::ours();
    let client = |seed| {
        let mut waits = failover_bench::waits(&policy, seed);
        move |_: u32| waits.next_wait()
    };
    assert!(report("failover-core", client).is_empty());
    let before_jitter = |attempt| policy.pace().backoff.wait(attempt, CAP);
    assert_eq!(laws::l04_growth(before_jitter, CAP), Ok(()));
}

#[test]
fn backoff_exceeds_its_cap_and_cannot_be_replayed() {
    assert_eq!(
        report("backoff", |_| failover_bench::backoff()),
        ["L2", "L5"]
    );
}

#[test]
fn backon_exceeds_its_cap() {
    let client = |seed| forever(failover_bench::backon(seed));
    assert_eq!(report("backon", client), ["L2"]);
}

#[test]
fn exponential_backoff_meets_at_its_cap_and_cannot_be_replayed() {
    let client = |_| forever(failover_bench::exponential_backoff());
    assert_eq!(report("exponential-backoff", client), ["L3", "L5"]);
}

#[test]
fn exponential_backoff_panics_with_a_jitter_below_a_hundredth() {
    let mut backoff = exponential_backoff::Backoff::new(u32::MAX, BASE, CAP);
    backoff.set_jitter(0.005);
    let found = laws::l01_total(forever(backoff.into_iter().flatten()));
    println!(
        "{:>20} BREAKS {}",
        "exponential-backoff",
        found.clone().unwrap_err()
    );
    assert_eq!(found.unwrap_err().at, 1);
}

#[test]
fn tokio_retry_cannot_be_replayed() {
    let client = |_| forever(failover_bench::tokio_retry());
    assert_eq!(report("tokio-retry", client), ["L5"]);
}

#[test]
fn retry_policies_waits_less_than_its_least_and_cannot_be_replayed() {
    let client = |_| failover_bench::retry_policies();
    assert_eq!(report("retry-policies", client), ["L2", "L5"]);
}

#[test]
fn tower_meets_at_its_cap_and_cannot_be_replayed() {
    let broken = failover_bench::standing_clock(|| report("tower", |_| failover_bench::tower()));
    assert_eq!(broken.unwrap(), ["L3", "L5"]);
}

/// The laws that it breaks, told to whoever reads the output.
///
/// Bounds are those that it was given under the names of least and longest.
fn report<B: FnMut(u32) -> Duration>(
    name: &str,
    mut client: impl FnMut(u64) -> B,
) -> Vec<&'static str> {
    let found = [
        ("L1", laws::l01_total(client(0))),
        ("L2", laws::l02_bounds(client(1), least(name), CAP)),
        (
            "L3",
            laws::l03_spread(&laws::at_attempt(AT_CAP, &mut client), WIDTH),
        ),
        ("L5", laws::l05_series(&mut client, AT_CAP)),
    ];
    for (law, outcome) in &found {
        match outcome {
            Ok(()) => println!("{name:>20} keeps  {law}"),
            Err(violation) => println!("{name:>20} BREAKS {violation}"),
        }
    }
    let broken = found.into_iter().filter_map(|(_, outcome)| outcome.err());
    broken.map(|violation| violation.law).collect()
}

/// What was given to it as the least wait.
fn least(name: &str) -> Duration {
    match name {
        "failover-core" => BASE / 2,
        // It knows no least wait.
        "tokio-retry" => Duration::ZERO,
        _ => BASE,
    }
}

fn forever(mut waits: impl Iterator<Item = Duration>) -> impl FnMut(u32) -> Duration {
    move |_| waits.next().unwrap_or_default()
}
