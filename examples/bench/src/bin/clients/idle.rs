//! The memory of a process with one idle client.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::contestants::{Reader, Who};
use crate::figures::{goal, row};
use crate::{Outcome, block_on};

const IDLE: Duration = Duration::from_secs(20);

/// A process each, one after the other; the last has the runtime alone.
pub(crate) fn measure(cluster: &mut Cluster) -> Outcome {
    cluster.start_all()?;
    let server = cluster.addresses()[0];
    let with_tls = pss("ours", server)?;
    let ours = pss("ours-plain", server)?;
    let theirs = pss("async-nats", server)?;
    let bare = pss("bare", server)?;
    let said = |kib: u64| format!("{kib} KiB");
    let what = format!("a process with one idle, subscribed client, no TLS, after {IDLE:?}: PSS");
    let verdict = goal("≤ async-nats", ours.all <= theirs.all);
    let figures = [ours.all, theirs.all, bare.all].map(said);
    row(&what, figures.each_ref().map(String::as_str), Some(verdict));
    let verdict = goal("≤ async-nats", ours.own <= theirs.own);
    let figures = [ours.own, theirs.own, bare.own].map(said);
    let what =
        "of that heap, stacks and other memory of its own; the rest are pages of the program";
    row(what, figures.each_ref().map(String::as_str), Some(verdict));
    let what = "PSS with the system's trust store read, for a server that might ask for TLS";
    row(what, [&said(with_tls.all), "", ""], None);
    Ok(())
}

/// In KiB.
struct Memory {
    /// PSS.
    all: u64,
    /// Of that, what no file is behind.
    own: u64,
}

/// This program again as `--idle`, for a while.
fn pss(who: &str, server: SocketAddr) -> Outcome<Memory> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--idle", who, &server.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = read(&mut child);
    child.kill()?;
    child.wait()?;
    measured
}

fn read(child: &mut std::process::Child) -> Outcome<Memory> {
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

/// Until it is killed.
pub(crate) fn client(who: &str, server: SocketAddr) -> Outcome {
    let who = match who {
        "ours" => Who::Ours,
        "ours-plain" => Who::OursPlain,
        "async-nats" => Who::AsyncNats,
        _ => Who::Bare,
    };
    block_on(async {
        let _reader = Reader::new(who, &[server]).await?;
        println!("ready");
        std::future::pending::<()>().await;
        Ok(())
    })
}
