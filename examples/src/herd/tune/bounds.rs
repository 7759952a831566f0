//! What no policy can do, whatever it is: known before anything is tried.

use std::time::Duration;

use failover_core::policy::Limit;
use failover_core::sim::{Capacity, Deed, Meets};
use failover_core::time::Time;

use super::Goal;
use crate::herd::count::float;
use crate::herd::healing::{healed, still_down};
use crate::plural::counted;
use crate::scenario::{Scenario, What};
use crate::timeline::short;

impl Goal {
    /// Why no policy can reach it in this world: in words, if that is so.
    ///
    /// Where all servers are away until the world heals, every connection of the goal is made after that:
    /// none of them may need more than the servers can take in that time, or the bound on the dials allows.
    /// Not finding a reason is no promise.
    #[must_use]
    pub fn out_of_reach(&self, scenario: &Scenario) -> Option<String> {
        let down = still_down(scenario);
        if !down.is_empty() {
            let names = down.join(", ");
            return Some(format!("the world never heals: down at the end: {names}"));
        }
        let needed = scenario.clients.saturating_mul(self.share).div_ceil(100);
        let servers = scenario.endpoints.len();
        if let Some(held) = held(scenario)
            && held < count(needed)
        {
            let who = match servers {
                1 => "the only server holds",
                _ => "the servers together hold",
            };
            return Some(format!(
                "{who} {}, and {} would be {needed}",
                counted(held, "connection"),
                self.of(scenario)
            ));
        }
        if !all_away_until_healed(scenario) {
            return None;
        }
        let rate = float(count(needed)) / self.within.as_secs_f64().max(1e-9);
        let each = rate / float(count(servers));
        if let Some(peak) = self.peak
            && each > peak
        {
            let whom = match servers {
                1 => "the only server".to_string(),
                _ => format!("each of {servers} servers"),
            };
            return Some(format!(
                "{} within {} would be {} a second at {whom}, and {peak:.0} would be allowed",
                self.of(scenario),
                short(self.within),
                counted(each.round(), "connection"),
            ));
        }
        let most = taken_in_a_second(scenario)?;
        (rate > most).then(|| {
            let whom = match servers {
                1 => "the only server has with each lets it take",
                _ => "the servers have with each lets them together take",
            };
            format!(
                "{} within {} would be {} a second, and the work that {whom} {most:.0}",
                self.of(scenario),
                short(self.within),
                counted(rate.round(), "connection"),
            )
        })
    }

    /// `99 % of 500 clients`.
    fn of(&self, scenario: &Scenario) -> String {
        let clients = counted(scenario.clients, "client");
        format!("{} % of {clients}", self.share)
    }
}

/// The most connections that all servers hold together, if that is bounded.
fn held(scenario: &Scenario) -> Option<u64> {
    let mut all = 0_u64;
    for server in 0..scenario.endpoints.len() {
        let mut most = 0;
        for capacity in capacities(scenario, server) {
            let Limit::AtMost(limit) = capacity.connections else {
                return None;
            };
            most = most.max(limit);
        }
        all = all.saturating_add(u64::from(most));
    }
    Some(all)
}

/// How many connections all servers together can take in a second, if each of them has work with them.
fn taken_in_a_second(scenario: &Scenario) -> Option<f64> {
    let mut all = 0.0;
    for server in 0..scenario.endpoints.len() {
        let works = capacities(scenario, server).map(|capacity| capacity.work);
        let least = works.min()?;
        if least == Duration::ZERO {
            return None;
        }
        all += 1.0 / least.as_secs_f64();
    }
    Some(all)
}

/// What this server can take, at the start and later.
fn capacities(scenario: &Scenario, server: usize) -> impl Iterator<Item = Capacity> {
    let own = scenario.endpoints.get(server);
    let own = own.map(|named| named.server.capacity);
    let later = of(scenario, server).filter_map(|(_, deed)| {
        let Deed::Capacity(capacity) = deed else {
            return None;
        };
        Some(capacity)
    });
    own.into_iter().chain(later)
}

/// Whether no server has a connection or takes one when the world heals.
fn all_away_until_healed(scenario: &Scenario) -> bool {
    let healed = healed(scenario);
    (0..scenario.endpoints.len()).all(|server| {
        // From its last loss of all connections on it took none, until then.
        let mut away = false;
        let mut refuses = false;
        for (_, deed) in of(scenario, server).filter(|(at, _)| *at < healed) {
            match deed {
                Deed::Meets(Meets::Accept { .. } | Meets::AcceptAndDrop { .. }) => {
                    (away, refuses) = (false, false);
                }
                Deed::Meets(_) => refuses = true,
                Deed::RouteMeets(..) | Deed::PartMeets(..) => return false,
                Deed::Drop(..) => away = refuses,
                Deed::Capacity(_) | Deed::PartDrop(..) | Deed::Drain | _ => {}
            }
        }
        away
    })
}

/// What this server does, in order.
fn of(scenario: &Scenario, server: usize) -> impl Iterator<Item = (Time, Deed)> {
    let acts = scenario.acts.iter().filter(move |act| act.server == server);
    acts.filter_map(|act| match act.deed {
        What::Deed(deed) => Some((act.at, deed)),
        What::Push(_) => None,
    })
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
