//! The same storm in the simulator.

use std::io;
use std::time::Duration;

use examples::herd::{self, Contestant};
use examples::scenario::Scenario;
use failover_core::policy::Policy;
use failover_core::time::Time;

use super::{Over, Predicted, Run};

/// What the simulator says of these clients, of a server that takes `work` for each connection.
pub(super) fn predict(run: &Run, policy: &Policy, work: Duration) -> io::Result<Predicted> {
    let count = u32::try_from(run.clients).unwrap_or(u32::MAX);
    // They come over twice the time that the server needs, and are stable long before it goes.
    let start_over = work * count * 2 + Duration::from_secs(1);
    let from = Duration::from_secs(start_over.as_secs() + 30);
    let to = from + run.outage;
    let until = to + run.within;
    let url = match run.over {
        Over::Tcp => "tcp://a:1",
        Over::Tls => "tls://a:1",
    };
    let text = format!(
        "version = 1\nseed = {}\nclients = {count}\nstart_over = \"{}ms\"\nuntil = \"{}ms\"\n\
         [[endpoint]]\nname = \"a\"\nurl = \"{url}\"\nwork = \"{}us\"\n\
         [[world]]\nfrom = \"{}ms\"\nto = \"{}ms\"\ndoes = \"down\"\n",
        run.seed,
        start_over.as_millis(),
        until.as_millis(),
        work.as_micros().max(1),
        from.as_millis(),
        to.as_millis(),
    );
    let scenario = Scenario::parse("storm", &text).map_err(io::Error::other)?;
    let contestant = Contestant::new(&run.who, policy.clone());
    let herd = herd::run(&scenario, &contestant, &mut |_| {});
    let after = (to.as_nanos() / herd.bin.as_nanos().max(1)).try_into();
    let since: u64 = dials_from(&herd, Time::ZERO + from);
    Ok(Predicted {
        back: [50, 90, 99, 100].map(|percent| herd.back_after(percent)),
        peak: herd
            .bins
            .iter()
            .skip(after.unwrap_or(usize::MAX))
            .map(|bin| bin.dials)
            .max()
            .unwrap_or_default(),
        dials: since,
    })
}

/// Dials from this time on, by whole stretches.
fn dials_from(herd: &herd::Herd, from: Time) -> u64 {
    let bin = herd.bin.as_nanos().max(1);
    let first = usize::try_from(u128::from(from.as_nanos()) / bin).unwrap_or(usize::MAX);
    herd.bins.iter().skip(first).map(|bin| bin.dials).sum()
}
