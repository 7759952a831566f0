//! Whether a herd fits into memory, before it is made.

use std::fs;

use crate::scenario::Scenario;

/// Bytes that a client takes, whatever its list: its machine, what is planned for it, what is counted
/// of it. Measured with a million clients under the default policy, at the peak of an outage: 440 bytes with
/// one endpoint. A tenth is added.
const CLIENT: u64 = 450;
/// Bytes for each endpoint of its list.
const ENDPOINT: u64 = 40;

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

/// What the herd of this scenario takes, about, in bytes; so many of them at a time.
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
    let each = CLIENT + ENDPOINT.saturating_mul(number(scenario.endpoints.len()));
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
