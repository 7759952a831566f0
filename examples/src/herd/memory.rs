//! Whether a herd fits into memory, before it is made.

use std::fs;

use crate::scenario::Scenario;

/// Bytes that a client takes, whatever its list: its machine, what is planned for it, what is counted
/// of it. Measured with the default policy: 560 bytes at the peak of an outage.
const CLIENT: u64 = 600;
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

/// What the herd of this scenario takes, about; so many of them at a time.
///
/// # Errors
/// It is more than the machine has free. Where the system does not say, anything goes.
pub fn check(scenario: &Scenario, jobs: usize) -> Result<u64, TooMany> {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let clients = number(scenario.clients).max(1);
    let each = CLIENT + ENDPOINT.saturating_mul(number(scenario.endpoints.len()));
    let bytes = clients
        .saturating_mul(each)
        .saturating_mul(number(jobs.max(1)));
    match free() {
        Some(free) if bytes > free => Err(TooMany {
            clients,
            bytes,
            free,
        }),
        Some(_) | None => Ok(bytes),
    }
}

/// Bytes that a new program could use without swapping.
fn free() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
