//! The same storm in the simulator.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use examples::herd::{self, Contestant};
use examples::scenario::Scenario;
use failover_core::policy::Policy;
use failover_core::time::Time;

use super::{Over, Predicted, Run};

/// Into how many parts the clients are divided by when they noticed that the server was gone.
const PARTS: usize = 20;

/// What the simulator says of these clients, of a server that is away for so long and takes `work`
/// for each connection; each twentieth of them noticed after as long as was measured.
///
/// A TLS handshake is part of the dial: dials queue for the server, and may run out of time there. Over plain
/// TCP the system shakes hands for the server, in microseconds: the dial is done, and it is the connection
/// that waits, without a deadline, until the server accepts and greets it.
pub(super) fn predict(
    run: &Run,
    away: Duration,
    noticed: &[Duration],
    policy: &Policy,
    work: Duration,
) -> io::Result<Predicted> {
    let count = u32::try_from(run.clients).unwrap_or(u32::MAX);
    // They come over twice the time that the server needs, and are stable long before it goes.
    let start_over = work * count * 2 + Duration::from_secs(1);
    let from = Duration::from_secs(start_over.as_secs() + 30);
    let to = from + Duration::from_millis(u64::try_from(away.as_millis()).unwrap_or(u64::MAX));
    let until = to + run.within;
    let (url, of_dial) = match run.over {
        Over::Tcp => ("tcp://a:1", Duration::ZERO),
        Over::Tls => ("tls://a:1", work),
    };
    let mut text = format!(
        "version = 1\nseed = {}\nclients = {count}\nstart_over = \"{}ms\"\nuntil = \"{}ms\"\n\
         [[endpoints]]\nname = \"a\"\nurl = \"{url}\"\n[servers.a]\nwork = \"{}us\"\n\
         [[world]]\nfrom = \"{}ms\"\nto = \"{}ms\"\ndoes = \"refuse\"\n",
        run.seed,
        start_over.as_millis(),
        until.as_millis(),
        of_dial.as_micros(),
        from.as_millis(),
        to.as_millis(),
    );
    for part in 0..PARTS {
        // The middle one of the part stands for it.
        let at = (2 * part + 1) * noticed.len() / (2 * PARTS);
        let after = noticed.get(at).copied().unwrap_or_default();
        let percent = |part: usize| part * 100 / PARTS;
        let _ = write!(
            text,
            "[[world]]\nat = \"{}us\"\ndoes = \"drop\"\nclients = \"{}%-{}%\"\n",
            (from + after).as_micros(),
            percent(part),
            percent(part + 1),
        );
    }
    let scenario = Scenario::parse("storm", &text).map_err(io::Error::other)?;
    let contestant = Contestant::new(&run.who, policy.clone());
    let herd = herd::run(&scenario, &contestant, &mut |_| {});
    let bin = |at: Duration| {
        let bin = at.as_nanos().div_ceil(herd.bin.as_nanos().max(1));
        usize::try_from(bin).unwrap_or(usize::MAX)
    };
    let (died, after) = (bin(from), bin(to));
    let mut predicted = Predicted {
        // From when it listened, as it is measured: the last to notice may do so after that.
        back: herd.back.map(|at| Some(at?.since(Time::ZERO + to))),
        peak: herd
            .bins
            .iter()
            .skip(after)
            .map(|bin| bin.dials)
            .max()
            .unwrap_or_default(),
        dials: herd.bins.iter().skip(died).map(|bin| bin.dials).sum(),
    };
    if run.over == Over::Tcp {
        let since = |number: usize| {
            let began = herd.bin * u32::try_from(number).unwrap_or(u32::MAX);
            began.saturating_sub(to)
        };
        let bins = herd.bins.iter().enumerate().skip(after.saturating_sub(1));
        let came = bins.map(|(number, bin)| (since(number), bin.accepted));
        let greeted = greeted(came, herd.bin, work);
        predicted.back = [50, 90, 99, 100].map(|percent| {
            let last = (run.clients * percent).div_ceil(100);
            greeted.get(last.checked_sub(1)?).copied()
        });
    }
    Ok(predicted)
}

/// When each of the connections is greeted that come in these stretches of time, evenly, to a server that takes
/// them one after the other.
fn greeted(
    came: impl Iterator<Item = (Duration, u64)>,
    stretch: Duration,
    work: Duration,
) -> Vec<Duration> {
    let mut free = Duration::ZERO;
    let mut greeted = Vec::new();
    for (since, many) in came {
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        for one in 0..many {
            free = free.max(since + stretch * one / many) + work;
            greeted.push(free);
        }
    }
    greeted
}
