//! What a process with one idle client takes up: a program of its own for each, so that none has pages of another.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::cluster::Cluster;
use crate::figures::{goal, row};

const IDLE: Duration = Duration::from_secs(20);
const PROGRAMS: [&str; 3] = ["idle_ours", "idle_async_nats", "idle_bare"];
/// How often each is started: from start to start each differs by some 65 KiB.
const ROUNDS: usize = 9;
/// Writing `3` to it empties the system's memory of files.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Which pages of a program's file are mapped depends on which the system has in memory, and in pieces of
/// which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    AsTheyAre,
    /// Read anew by each program, as after a start of the computer. Takes root.
    Forgotten,
}

/// One after the other, and the median of each.
pub(crate) fn measure(cluster: &mut Cluster, files: Files) -> Outcome {
    cluster.start_all()?;
    let server = cluster.addresses()[0];
    let mut all: [Vec<Memory>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (program, rounds) in PROGRAMS.into_iter().zip(&mut all) {
            if files == Files::Forgotten {
                rustix::fs::sync();
                fs::write(DROP_CACHES, "3").map_err(|error| format!("{DROP_CACHES}: {error}"))?;
            }
            rounds.push(pss(program, server)?);
        }
    }
    let what = format!("a program with one idle, subscribed client, after {IDLE:?}: PSS");
    tell(&what, &all, |memory| memory.all);
    let what =
        "of that heap, stacks and other memory of its own; the rest are pages of the program";
    tell(what, &all, |memory| memory.own);
    Ok(())
}

fn tell(what: &str, all: &[Vec<Memory>; 3], of: fn(&Memory) -> u64) {
    let [ours, async_nats, bare] = all.each_ref().map(|rounds| {
        let mut rounds: Vec<u64> = rounds.iter().map(of).collect();
        rounds.sort_unstable();
        rounds[rounds.len() / 2]
    });
    let verdict = goal("≤ async-nats", ours <= async_nats);
    let figures = [ours, async_nats, bare].map(|memory| format!("{memory} KiB"));
    row(what, figures.each_ref().map(String::as_str), Some(verdict));
}

/// In KiB.
struct Memory {
    /// PSS.
    all: u64,
    /// Of that, what no file is behind.
    own: u64,
}

/// The program beside this one, for a while.
fn pss(program: &str, server: SocketAddr) -> Outcome<Memory> {
    let path = std::env::current_exe()?.with_file_name(program);
    let mut child = Command::new(&path)
        .arg(server.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!(
                "{} ({error}): `cargo build --release` makes it",
                path.display()
            )
        })?;
    let measured = read(&mut child);
    child.kill()?;
    child.wait()?;
    measured
}

fn read(child: &mut Child) -> Outcome<Memory> {
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.trim() != "ready" {
        return Err("the client did not connect".into());
    }
    std::thread::sleep(IDLE);
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id()))?;
    let line = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.ok_or_else(|| format!("smaps_rollup has no {name}"))
    };
    Ok(Memory {
        all: line("Pss:")?,
        own: line("Pss_Anon:")?,
    })
}
