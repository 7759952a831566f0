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

/// One after the other.
pub(crate) fn measure(cluster: &mut Cluster) -> Outcome {
    cluster.start_all()?;
    let server = cluster.addresses()[0];
    let mut all = Vec::new();
    for program in PROGRAMS {
        all.push(pss(program, server)?);
    }
    let what = format!("a program with one idle, subscribed client, after {IDLE:?}: PSS");
    tell(&what, &all, |memory| memory.all);
    let what =
        "of that heap, stacks and other memory of its own; the rest are pages of the program";
    tell(what, &all, |memory| memory.own);
    Ok(())
}

fn tell(what: &str, all: &[Memory], of: fn(&Memory) -> u64) {
    let verdict = goal("≤ async-nats", of(&all[0]) <= of(&all[1]));
    let figures: Vec<String> = all
        .iter()
        .map(|memory| format!("{} KiB", of(memory)))
        .collect();
    row(what, [&figures[0], &figures[1], &figures[2]], Some(verdict));
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
