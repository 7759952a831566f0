//! All nodes are killed, and one comes back after some seconds.

use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::timeout;

use crate::cluster::{Cluster, Publisher};
use crate::contestants::{Reader, Who};
use crate::figures::{goal, median, millis, most, row};
use crate::{Outcome, block_on};

const ROUNDS: u32 = 9;
const KINDS: [Who; 3] = [Who::Ours, Who::OursGentle, Who::AsyncNats];
/// So many of each live through the same outage: ours wait for a random time each.
const EACH: usize = 5;
const LONG: Duration = Duration::from_secs(60);
/// The longest wait of our client, and an attempt.
const CAP: f64 = 1500.0 + 100.0;

/// All live through the same outages, each on a thread of its own.
pub(crate) fn measure(cluster: &mut Cluster) -> Outcome {
    let mut took = KINDS.map(|_| Vec::new());
    let mut cpu = KINDS.map(|_| Vec::new());
    for round in 0..ROUNDS {
        // From 5 s to 7 s.
        let dark = Duration::from_millis(5000 + u64::from(round * 2000 / (ROUNDS - 1)));
        for (number, (back, used)) in outage(cluster, dark)?.into_iter().enumerate() {
            took[number / EACH].push(millis(back));
            cpu[number / EACH].push(100.0 * used.as_secs_f64() / dark.as_secs_f64());
        }
    }
    let said = |figures: &[f64]| format!("{:.0} / {:.0} ms", median(figures), most(figures));
    let what = format!(
        "all nodes killed for 5 to 7 s, one back to the next message: median / most of {}",
        took[0].len()
    );
    let is_met = median(&took[0]) < 1000.0 && most(&took[0]) <= CAP;
    let goal_of_time = goal(
        "median < 1 s, most ≤ the cap (1.5 s) and an attempt",
        is_met,
    );
    let figures = [&said(&took[0]), &said(&took[2]), ""];
    row(&what, figures, Some(goal_of_time));
    let gentle = said(&took[1]);
    row(
        "the same, ours with the library's default",
        [&gentle, "", ""],
        None,
    );
    let said = |figures: &[f64]| format!("{:.3} / {:.3} %", median(figures), most(figures));
    let goal_of_cpu = goal("< 1 %", most(&cpu[0]) < 1.0);
    row(
        "a core used meanwhile, by one of them: median / most",
        [&said(&cpu[0]), &said(&cpu[2]), ""],
        Some(goal_of_cpu),
    );
    Ok(())
}

/// How long after the node listens the next message came, and the processor time while all was dark.
fn outage(cluster: &mut Cluster, dark: Duration) -> Outcome<Vec<(Duration, Duration)>> {
    cluster.start_all()?;
    let servers = cluster.addresses();
    let (ready, is_ready) = channel();
    let all = KINDS.into_iter().flat_map(|who| [who; EACH]);
    let clients = all.map(|who| {
        let (servers, ready) = (servers.clone(), ready.clone());
        std::thread::spawn(move || {
            block_on(async {
                let mut reader = Reader::new(who, &servers).await?;
                ready.send(())?;
                live(&mut reader, dark).await
            })
        })
    });
    let clients: Vec<_> = clients.collect();
    for _ in &clients {
        is_ready.recv_timeout(LONG)?;
    }
    std::thread::sleep(Duration::from_millis(300));
    cluster.kill_all();
    std::thread::sleep(dark);
    // The last, so that it is not the first that is asked.
    let node = cluster.node(2);
    node.start()?;
    let listening = Instant::now();
    let address = node.address;
    let mut publisher = Publisher::new(address)?;
    while clients.iter().any(|client| !client.is_finished()) && listening.elapsed() < LONG {
        publisher.publish()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let clients = clients.into_iter();
    clients.map(|client| back(client, listening)).collect()
}

/// When the message came, and the processor time.
type Lived = (Instant, Duration);

fn back(client: JoinHandle<Outcome<Lived>>, listening: Instant) -> Outcome<(Duration, Duration)> {
    let (at, used) = client.join().map_err(|_| "a client failed")??;
    Ok((at.saturating_duration_since(listening), used))
}

async fn live(reader: &mut Reader, dark: Duration) -> Outcome<Lived> {
    let before = thread_time();
    // What it did within the shortest of the outage; the message cannot come before.
    let early = timeout(dark, reader.next()).await;
    let used = thread_time() - before;
    if early.is_err() {
        timeout(LONG, reader.next())
            .await
            .map_err(|_| "no message came")??;
    }
    Ok((Instant::now(), used))
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
