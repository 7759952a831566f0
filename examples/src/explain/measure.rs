//! A policy's delays, measured on the real machine.

use std::time::Duration;

use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind};
use failover_core::machine::{Event, Output};
use failover_core::policy::{Policy, Seed};
use failover_core::sim::{Deed, Fleet, Meets, Server};
use failover_core::time::Time;

/// How many clients are asked for each delay.
pub(super) const CLIENTS: usize = 201;
/// How many clients are asked when they give up.
const GIVING_UP: usize = 9;
/// How many attempts are told.
const ATTEMPTS: usize = 20;
/// How many things each client that may give up lives through before it counts as one that does not.
const PATIENCE: u64 = 3_000;
/// The latest time at which a connection proves stable here.
const LATEST: Duration = Duration::from_secs(3600);

/// What was measured.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Measured {
    /// The delay before each attempt, from the end of the one before, or from the loss.
    pub delays: Vec<Spread>,
    /// The time from the loss to each attempt.
    pub since_loss: Vec<Spread>,
    /// How long after a loss it gives up if every server refuses; nothing if it never does.
    pub gives_up_refused: Option<Spread>,
    /// The same if every server is mute.
    pub gives_up_mute: Option<Spread>,
    /// How long after the start it gives up if every server refuses.
    pub start_up_gives_up: Option<Spread>,
}

/// What many clients had: the least, the one in the middle, the most, and between which two nine in
/// ten lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spread {
    /// The least.
    pub least: Duration,
    /// Five in a hundred had less.
    pub low: Duration,
    /// The median.
    pub median: Duration,
    /// Five in a hundred had more.
    pub high: Duration,
    /// The most.
    pub most: Duration,
}

impl Spread {
    fn of(mut all: Vec<Duration>) -> Option<Self> {
        all.sort_unstable();
        let part = |percent: usize| all.get((all.len() - 1) * percent / 100).copied();
        Some(Self {
            least: *all.first()?,
            low: part(5)?,
            high: part(95)?,
            median: *all.get(all.len() / 2)?,
            most: *all.last()?,
        })
    }
}

pub(super) fn measure(policy: &Policy, endpoints: usize, security: Security) -> Measured {
    let lost = Time::ZERO + policy.stable_after().min(LATEST) + Duration::from_secs(1);
    let fleet = |clients| fleet(policy, endpoints, security, clients);
    let away = |fleet: &mut Fleet, at, meets| {
        for server in 0..endpoints {
            fleet.deed(at, server, Deed::Meets(meets));
        }
        for server in 0..endpoints {
            fleet.deed(at, server, Deed::RESET);
        }
        fleet.start();
    };
    let mut measured = Measured::default();
    let mut outage = fleet(CLIENTS);
    away(&mut outage, lost, Meets::REFUSE);
    (measured.delays, measured.since_loss) = delays(&mut outage, lost);

    let mut refused = fleet(GIVING_UP);
    away(&mut refused, lost, Meets::REFUSE);
    measured.gives_up_refused = gives_up(&mut refused, lost);
    let mut mute = fleet(GIVING_UP);
    away(&mut mute, lost, Meets::Mute);
    measured.gives_up_mute = gives_up(&mut mute, lost);
    let mut start_up = fleet(GIVING_UP);
    away(&mut start_up, Time::ZERO, Meets::REFUSE);
    measured.start_up_gives_up = gives_up(&mut start_up, Time::ZERO);
    measured
}

fn fleet(policy: &Policy, endpoints: usize, security: Security, clients: usize) -> Fleet {
    let server = Server::new(Traits::new(EndpointId::new(0)).route(security));
    Fleet::new(
        policy.clone(),
        vec![server; endpoints],
        clients,
        Seed::new(1),
    )
}

fn delays(fleet: &mut Fleet, lost: Time) -> (Vec<Spread>, Vec<Spread>) {
    let mut dials: Vec<Vec<Time>> = vec![Vec::new(); CLIENTS];
    let enough = CLIENTS * ATTEMPTS;
    let mut seen = 0;
    while seen < enough {
        let done = fleet.run_until(Time::MAX, 500, &mut |_, moment| {
            let Some(own) = dials.get_mut(moment.client) else {
                return;
            };
            for _ in moment.dials() {
                if moment.at >= lost && own.len() < ATTEMPTS {
                    own.push(moment.at);
                    seen += 1;
                }
            }
        });
        if done == 0 || fleet.now() > Time::ZERO + 100_000 * LATEST {
            break;
        }
    }
    let spreads = |of: &dyn Fn(&[Time], usize) -> Option<Duration>| {
        let number = |number| Spread::of(dials.iter().filter_map(|own| of(own, number)).collect());
        (0..ATTEMPTS).map_while(number).collect()
    };
    let since = |own: &[Time], number: usize| Some(own.get(number)?.since(lost));
    let delay = |own: &[Time], number: usize| {
        let before = match number.checked_sub(1) {
            Some(before) => *own.get(before)?,
            None => lost,
        };
        Some(own.get(number)?.since(before))
    };
    (spreads(&delay), spreads(&since))
}

/// When the clients close; nothing if one of them does not.
fn gives_up(fleet: &mut Fleet, since: Time) -> Option<Spread> {
    let mut closed = Vec::new();
    let most = PATIENCE * u64::try_from(GIVING_UP).unwrap_or(1);
    fleet.run_until(Time::MAX, most, &mut |_, moment| {
        for output in moment.outputs {
            if let Output::Event(Event::Closed(_)) = output {
                closed.push(moment.at.since(since));
            }
        }
    });
    if closed.len() < GIVING_UP {
        return None;
    }
    Spread::of(closed)
}

/// A failure that every policy has an opinion of.
pub(super) fn refused() -> Failure {
    Failure::new(Kind::Refused)
}
