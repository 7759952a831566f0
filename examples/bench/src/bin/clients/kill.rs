//! The connected node is killed or frozen: how long until the next message?

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::cluster::{Cluster, Publisher, Running};
use crate::contestants::{ALL, Reader, Who};
use crate::figures::{goal, median, millis, most, percentile, row};
use crate::{Outcome, block_on};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Frozen,
}

/// So often somebody publishes at the second node.
const EVERY: Duration = Duration::from_micros(100);
const LONG: Duration = Duration::from_secs(30);

pub(crate) fn measure(cluster: &mut Cluster, end: End, lived: Duration, rounds: usize) -> Outcome {
    let mut took = ALL.map(|_| Vec::new());
    for round in 0..rounds {
        for turn in 0..ALL.len() {
            let which = (round + turn) % ALL.len();
            // A loop by hand has no heartbeat.
            if end == End::Frozen && ALL[which] == Who::Bare {
                continue;
            }
            took[which].push(millis(once(cluster, end, lived, ALL[which])?));
        }
    }
    let said = |figures: &[f64]| match figures {
        [] => "".to_string(),
        _ => format!(
            "{:.2} / {:.2} / {:.2} ms",
            median(figures),
            percentile(figures, 0.9),
            most(figures)
        ),
    };
    let figures = took.each_ref().map(|figures| said(figures));
    let [ours, _, bare] = &took;
    let (what, goal) = match end {
        End::Killed => (
            format!(
                "SIGKILL of the node after {lived:?} to the next message: median / p90 / most of {rounds}"
            ),
            goal(
                "median within 1 ms of bare sockets, p90 ≤ 10 ms",
                median(ours) - median(bare) <= 1.0 && percentile(ours, 0.9) <= 10.0,
            ),
        ),
        End::Frozen => (
            format!(
                "SIGSTOP of the node, heartbeat 1 s, to the next message: median / p90 / most of {rounds}"
            ),
            goal("≤ 2 s and an attempt (0.1 s)", most(ours) <= 2100.0),
        ),
    };
    row(&what, figures.each_ref().map(String::as_str), Some(goal));
    Ok(())
}

/// One client, on the first node, which comes to an end.
fn once(cluster: &mut Cluster, end: End, lived: Duration, who: Who) -> Outcome<Duration> {
    cluster.start_all()?;
    let servers = cluster.addresses();
    let second = servers[1];
    let node = cluster.node(0).take().ok_or("the node does not run")?;
    block_on(async {
        let mut reader = Reader::new(who, &servers).await?;
        tokio::time::sleep(lived).await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let ending = std::thread::spawn(move || end_and_publish(node, end, second, &stopped));
        let heard = timeout(LONG, reader.next()).await;
        let at = Instant::now();
        stop.store(true, Ordering::Relaxed);
        let ended = ending.join().map_err(|_| "the publisher failed")??;
        heard.map_err(|_| format!("no message came to {who:?}"))??;
        Ok(at.duration_since(ended))
    })
}

/// Ends the node, then publishes at the second until it is told to stop. When the end began.
fn end_and_publish(
    mut node: Running,
    end: End,
    second: SocketAddr,
    stop: &AtomicBool,
) -> Outcome<Instant> {
    let mut publisher = Publisher::new(second)?;
    let began = Instant::now();
    match end {
        End::Killed => node.kill()?,
        End::Frozen => node.freeze()?,
    }
    while !stop.load(Ordering::Relaxed) && began.elapsed() < LONG {
        publisher.publish()?;
        std::thread::sleep(EVERY);
    }
    Ok(began)
}
