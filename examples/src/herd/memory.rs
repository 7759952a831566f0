//! Whether a herd fits into memory, before it is made.

use std::fs;

use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Every, Policy, Reaction, Standing};
use failover_core::race::Race;

use crate::scenario::Scenario;

/// Bytes that a client takes, whatever its list and policy: its machine, what is planned for it, what is
/// counted of it. Measured with a million clients, at the peak of an outage, beyond what a herd of one takes:
/// 190 with one endpoint and 246 with three. A tenth is added, as to those below.
const CLIENT: u64 = 176;
/// Bytes for each endpoint of its list.
const ENDPOINT: u64 = 31;
/// The same for one that rested or has a pace of its own: measured with the stompit preset.
const RESTED: u64 = 53;
/// Bytes for what is beside the main dial: measured with a race of two, and with the diffusion_reconnect preset.
const BESIDE: u64 = 275;

/// The herd takes more memory than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{clients} clients take about {} MB, and {} MB are free: at most {} fit",
    bytes / 1_000_000, free / 1_000_000, free / (bytes / clients).max(1)
)]
#[non_exhaustive]
pub struct TooMany {
    /// How many clients were asked for.
    pub clients: u64,
    /// What they take, about.
    pub bytes: u64,
    /// What is there.
    pub free: u64,
}

/// What the herd of this scenario takes under its policy, about, in bytes; so many of them at a time.
///
/// # Errors
/// It is more than this process may have: what the computer has free, what its group is allowed, and
/// its own limit of address space. Where the system says none of them, anything goes.
pub fn check(scenario: &Scenario, jobs: usize) -> Result<u64, TooMany> {
    check_within(scenario, jobs, free().unwrap_or(u64::MAX))
}

/// The same where so many bytes are free.
///
/// # Errors
/// It is more.
pub fn check_within(scenario: &Scenario, jobs: usize, free: u64) -> Result<u64, TooMany> {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let clients = number(scenario.clients).max(1);
    let endpoint = ENDPOINT + if rests(&scenario.policy) { RESTED } else { 0 };
    let client = CLIENT
        + if is_beside(&scenario.policy) {
            BESIDE
        } else {
            0
        };
    let each = client + endpoint.saturating_mul(number(scenario.endpoints.len()));
    let bytes = clients
        .saturating_mul(each)
        .saturating_mul(number(jobs.max(1)));
    if bytes > free {
        return Err(TooMany {
            clients,
            bytes,
            free,
        });
    }
    Ok(bytes)
}

/// Whether an endpoint that fails is remembered for more than its failures.
fn rests(policy: &Policy) -> bool {
    let paced = matches!(policy.pace().every, Every::Endpoint | Every::Return);
    let refused = policy.reactions().to(&Failure::new(Kind::Refused));
    paced || matches!(refused, Reaction::Mark | Reaction::Suspend)
}

/// Whether more than one dial or connection is kept, or a window for the lost one.
fn is_beside(policy: &Policy) -> bool {
    let one = policy.race() == Race::OFF && policy.standing() == Standing::default();
    !one || policy.resume().is_some()
}

fn free() -> Option<u64> {
    [available(), group(), address_space()]
        .into_iter()
        .flatten()
        .min()
}

/// What a new program could use without swapping.
fn available() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// What the control group, which a container is, has left.
fn group() -> Option<u64> {
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let most: u64 = read("memory.max")?.trim().parse().ok()?;
    let stat = read("memory.stat")?;
    let taken = stat.lines().find_map(|line| line.strip_prefix("anon "))?;
    Some(most.saturating_sub(taken.trim().parse().ok()?))
}

/// What `ulimit -v` allows.
fn address_space() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}
