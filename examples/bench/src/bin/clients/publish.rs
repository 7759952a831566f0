//! Messages of 128 bytes a second, to one node.

use std::time::{Duration, Instant};

use bytes::Bytes;
use examples::nats::{Publish, policy};
use failover_bench::process::cpu;

use crate::cluster::Cluster;
use crate::contestants::{Who, async_nats, ours};
use crate::figures::{goal, median, row};
use crate::{Outcome, block_on};

const MESSAGES: u32 = 500_000;
const ROUNDS: usize = 9;
/// Nobody reads it.
const SUBJECT: &str = "rate";

/// Pairs, their order turned each time.
pub(crate) fn measure(cluster: &mut Cluster) -> Outcome {
    cluster.start_all()?;
    let server = cluster.addresses()[0];
    let (mut ratios, mut rates, mut costs) = (vec![], [vec![], vec![]], [vec![], vec![]]);
    for round in 0..ROUNDS {
        let mut pair = [0.0; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let who = [Who::Ours, Who::AsyncNats][which];
            let (took, used) = block_on(publish(who, server))?;
            pair[which] = f64::from(MESSAGES) / took.as_secs_f64();
            rates[which].push(pair[which] / 1e6);
            costs[which].push(used.as_secs_f64() * 1e9 / f64::from(MESSAGES));
        }
        ratios.push(pair[0] / pair[1]);
    }
    let ratio = median(&ratios);
    let said = |figures: &[f64]| format!("{:.2} million/s", median(figures));
    row(
        &format!("publish {MESSAGES} messages of 128 B and flush, median of {ROUNDS}"),
        [&said(&rates[0]), &said(&rates[1]), ""],
        Some(goal(
            &format!("ratio in pairs ≥ 0.8: {ratio:.2}"),
            ratio >= 0.8,
        )),
    );
    let said = |figures: &[f64]| format!("{:.0} ns", median(figures));
    row(
        "processor time of the client for one of them",
        [&said(&costs[0]), &said(&costs[1]), ""],
        None,
    );
    Ok(())
}

async fn publish(who: Who, server: std::net::SocketAddr) -> Outcome<(Duration, Duration)> {
    let payload = Bytes::from(vec![b'x'; 128]);
    match who {
        Who::Ours | Who::OursGentle => {
            let link = ours(&[server], policy())?;
            link.flush().await?;
            let (began, before) = (Instant::now(), cpu()?);
            for _ in 0..MESSAGES {
                link.send(Publish::to(SUBJECT, payload.clone())).await?;
            }
            link.flush().await?;
            Ok((began.elapsed(), cpu()? - before))
        }
        Who::AsyncNats | Who::Bare => {
            let client = async_nats(&[server]).await?;
            client.flush().await?;
            let (began, before) = (Instant::now(), cpu()?);
            for _ in 0..MESSAGES {
                client.publish(SUBJECT, payload.clone()).await?;
            }
            client.flush().await?;
            Ok((began.elapsed(), cpu()? - before))
        }
    }
}
