//! When a world is as good as it gets.

use failover_core::sim::{Deed, Meets};
use failover_core::time::Time;

use crate::scenario::{Act, Scenario, What};

/// When something is done to a server for the last time in this world: from then on it is as good as it
/// gets.
pub(super) fn healed(scenario: &Scenario) -> Time {
    played(scenario).last().map_or(Time::ZERO, |act| act.at)
}

/// The servers, where none of them takes a connection that lasts any more when the world ends: it never
/// heals. Nothing, where one does, if only for some clients or on some route.
pub(super) fn still_down(scenario: &Scenario) -> Vec<String> {
    let servers = 0..scenario.endpoints.len();
    if !servers.clone().all(|server| is_down(scenario, server)) {
        return Vec::new();
    }
    let names = scenario.endpoints.iter().map(|named| named.name.clone());
    names.collect()
}

fn is_down(scenario: &Scenario, server: usize) -> bool {
    let mut down = false;
    for act in played(scenario).filter(|act| act.server == server) {
        match act.deed {
            What::Deed(Deed::Meets(meets)) => down = !lasts(meets),
            What::Deed(Deed::RouteMeets(_, Some(meets)) | Deed::PartMeets(_, Some(meets)))
                if lasts(meets) =>
            {
                return false;
            }
            What::Deed(_) | What::Push(_) => {}
        }
    }
    down
}

const fn lasts(meets: Meets) -> bool {
    matches!(meets, Meets::Accept { .. })
}

/// What happens before the end.
fn played(scenario: &Scenario) -> impl Iterator<Item = &Act> {
    scenario.acts.iter().filter(|act| act.at <= scenario.until)
}
