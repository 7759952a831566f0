//! What the system tells of this process, and what it allows it.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

/// Makes sure of so many open descriptors: raises the soft limit where the hard one allows it. The
/// children of this process inherit it.
///
/// # Errors
/// What is needed, what there is, and how to raise it.
pub fn descriptors(needed: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(io::Error::other(format!(
            "{needed} open descriptors are needed in each of two processes, and the limit is {hard}: raise it \
             (ulimit -Hn {needed}, as root), or ask for fewer clients"
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard)?;
    Ok(())
}

/// The processor time that this process has taken.
///
/// # Errors
/// Those of the system.
pub fn cpu() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or_default()
    };
    Ok(Duration::from_micros(
        micros(usage.user_time()) + micros(usage.system_time()),
    ))
}

/// The time that the first thread of this process had a processor, or could have used one and had to wait:
/// of a thread that always has something to do, as much as passes by.
///
/// # Errors
/// The system does not tell.
pub fn occupied() -> io::Result<Duration> {
    let told = fs::read_to_string("/proc/self/schedstat")?;
    let mut nanos = told.split_whitespace().map_while(|word| word.parse().ok());
    match (nanos.next(), nanos.next()) {
        (Some(ran), Some(waited)) => Ok(Duration::from_nanos(ran) + Duration::from_nanos(waited)),
        _ => Err(io::Error::other("/proc/self/schedstat has no times")),
    }
}

/// The memory that this process has to itself, in bytes: what the system calls `RssAnon`.
///
/// # Errors
/// The system does not tell.
pub fn memory() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| io::Error::other("/proc/self/status has no RssAnon"))
}
