//! A first server that does not answer, with racing on.

use std::time::{Duration, Instant};

use failover_core::policy::{Order, Policy, Walk};
use failover_core::race::{Race, Stagger};

use crate::figures::{Goal, Row, Table, median, millis, rest};
use crate::servers::{Dark, End, Servers, read_to_the_end};
use crate::{Outcome, client};

const LESSONS: u32 = 300;
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
        what: "dark first of three servers: loss to connected elsewhere, racing".to_string(),
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
    // One more than race: whoever was lost has had its turn.
    let mut servers = Servers::start(3).await?;
    let policy = Policy::builder()
        .order(Order::new(Walk::Listed))
        .stable_after(Duration::ZERO)
        .race(Race::new(2, stagger)?)
        .build()?;
    let first = servers.addresses[0];
    let mut client = client(&servers.addresses, policy)?;
    let mut link = client.connect().await?;
    let (mut made, mut used) = (0, 1);
    rest().await;
    // Until it stands on the second server: the first goes dark then.
    while used <= LESSONS || link.conn.peer_addr()? == first {
        made += end_all(&mut servers).await?;
        let error = read_to_the_end(&mut link.conn).await;
        client.lost(link.id(), error);
        link = client.connect().await?;
        used += 1;
        // Whoever was dialled for nothing has come by now.
        rest().await;
    }
    let figure = f64::from(made) / f64::from(used - 1);
    servers.stop(0).await;
    let _dark = Dark::new(first)?;
    let mut took = Vec::new();
    for _ in 0..OUTAGES {
        end_all(&mut servers).await?;
        let error = read_to_the_end(&mut link.conn).await;
        let began = Instant::now();
        client.lost(link.id(), error);
        link = client.connect().await?;
        took.push(millis(began.elapsed()));
        rest().await;
    }
    Ok((median(took), figure))
}

/// Ends every connection that the servers have: how many.
async fn end_all(servers: &mut Servers) -> Outcome<u32> {
    let mut ended = 1;
    End::Fin.of(servers.accept().await?)?;
    while let Some(another) = servers.accepted() {
        End::Fin.of(another)?;
        ended += 1;
    }
    Ok(ended)
}
