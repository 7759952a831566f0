//! A first server that does not answer, with racing on.

use std::time::{Duration, Instant};

use failover_core::policy::{Order, Policy, Walk};
use failover_core::race::{Race, Stagger};

use crate::figures::{Goal, Row, Table, median, millis, rest};
use crate::servers::{Dark, End, Servers, read_to_the_end};
use crate::{Outcome, client};

const LESSONS: usize = 300;
const OUTAGES: usize = 20;

pub(crate) async fn measure(table: &mut Table) -> Outcome {
    let (trained, dials) = around_the_dark(Stagger::TRAINED).await?;
    let (fixed, _) = around_the_dark(Stagger::DEFAULT).await?;
    if fixed < 240.0 {
        return Err(
            format!("the dark server was not dialled first: {fixed:.1} ms with 250 ms").into(),
        );
    }
    table.row(Row {
        what: "dark first server: connected to the second, racing".to_string(),
        ours: format!("{trained:.1} ms with a trained stagger"),
        beside: format!("{fixed:.1} ms with the usual 250 ms"),
        goal: Some(Goal {
            figure: trained,
            at_most: 15.0,
            unit: " ms",
        }),
    });
    table.row(Row {
        what: format!(
            "connections made per connection used, {LESSONS} losses in a healthy pool, racing"
        ),
        ours: format!("{dials:.3}"),
        beside: String::new(),
        goal: Some(Goal {
            figure: dials,
            at_most: 1.01,
            unit: "",
        }),
    });
    Ok(())
}

/// The time to a connection past a dark server, in milliseconds, after lessons in a healthy pool; and
/// the connections made there for each that was used.
async fn around_the_dark(stagger: Stagger) -> Outcome<(f64, f64)> {
    let mut servers = Servers::start(2).await?;
    let policy = Policy::builder()
        .order(Order::new(Walk::Listed))
        .stable_after(Duration::ZERO)
        .race(Race::new(2, stagger)?)
        .build()?;
    // The first is free to go dark later; the others answer from the beginning to the end.
    let gone = Dark::new(crate::servers::ANY)?;
    let healthy = servers.addresses.clone();
    let mut client = client(&healthy, policy)?;
    let mut link = client.connect().await?;
    let mut made = 1;
    for _ in 0..LESSONS {
        let server_end = servers.accept().await?;
        End::Fin.of(server_end)?;
        let error = read_to_the_end(&mut link.conn).await;
        client.lost(link.id(), error);
        link = client.connect().await?;
        made += 1;
        // Whoever was dialled for nothing has come by now.
        rest().await;
    }
    let used = made;
    let mut server_end = servers.accept().await?;
    while let Some(another) = servers.accepted() {
        made += 1;
        server_end = another;
    }
    // The dark one goes to the head of the list: each outage begins with it.
    let mut list = vec![gone.address];
    list.extend(&healthy);
    let endpoints = list
        .iter()
        .map(|address| failover_core::directory::Endpoint::parse(&format!("tcp://{address}")))
        .collect::<Result<Vec<_>, _>>()?;
    client.handle().replace(endpoints);
    let mut took = Vec::new();
    for _ in 0..OUTAGES {
        End::Fin.of(server_end)?;
        let error = read_to_the_end(&mut link.conn).await;
        let began = Instant::now();
        client.lost(link.id(), error);
        link = client.connect().await?;
        took.push(millis(began.elapsed()));
        server_end = servers.accept().await?;
        while let Some(another) = servers.accepted() {
            server_end = another;
        }
    }
    Ok((median(took), f64::from(made) / f64::from(used)))
}
