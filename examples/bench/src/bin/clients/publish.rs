//! Messages of 128 bytes a second, to one node, without subscriptions and beside many.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use examples::nats::{Publish, policy, subscribe};
use failover_bench::process::cpu;
use failover_core::messaging::Room;

use crate::cluster::Cluster;
use crate::contestants::{Who, async_nats, ours};
use crate::figures::{goal, median, row};
use crate::{Outcome, block_on};

const MESSAGES: u32 = 500_000;
const ROUNDS: usize = 9;
/// Nobody reads it.
const SUBJECT: &str = "rate";

/// How many subscriptions the client has, to which nothing comes, the second time.
const SUBSCRIPTIONS: usize = 1000;
const ROOM: Room = Room {
    items: 1024,
    bytes: 1 << 20,
};

pub(crate) fn measure(cluster: &mut Cluster) -> Outcome {
    measure_beside(cluster, 0)?;
    measure_beside(cluster, SUBSCRIPTIONS)
}

/// Pairs, their order turned each time.
fn measure_beside(cluster: &mut Cluster, subscriptions: usize) -> Outcome {
    cluster.start_all()?;
    let server = cluster.addresses()[0];
    let (mut ratios, mut rates, mut costs) = (vec![], [vec![], vec![]], [vec![], vec![]]);
    for round in 0..ROUNDS {
        let mut pair = [0.0; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let who = [Who::Ours, Who::AsyncNats][which];
            let (took, used) = block_on(publish(who, server, subscriptions))?;
            pair[which] = f64::from(MESSAGES) / took.as_secs_f64();
            rates[which].push(pair[which] / 1e6);
            costs[which].push(used.as_secs_f64() * 1e9 / f64::from(MESSAGES));
        }
        ratios.push(pair[0] / pair[1]);
    }
    let ratio = median(&ratios);
    let said = |figures: &[f64]| format!("{:.2} million/s", median(figures));
    let beside = match subscriptions {
        0 => String::new(),
        some => format!(" beside {some} idle subscriptions"),
    };
    row(
        &format!("publish {MESSAGES} messages of 128 B and flush{beside}, median of {ROUNDS}"),
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

async fn publish(
    who: Who,
    server: SocketAddr,
    subscriptions: usize,
) -> Outcome<(Duration, Duration)> {
    let payload = Bytes::from(vec![b'x'; 128]);
    match who {
        Who::Ours | Who::OursGentle => {
            let link = ours(&[server], policy())?;
            let idle = (0..subscriptions).map(|n| subscribe(&link, &format!("idle.{n}"), ROOM));
            let _idle = idle.collect::<Result<Vec<_>, _>>()?;
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
            let mut idle = Vec::new();
            for n in 0..subscriptions {
                idle.push(client.subscribe(format!("idle.{n}")).await?);
            }
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
