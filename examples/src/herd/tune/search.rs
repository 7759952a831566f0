//! The search: many policies in a small herd, the best of them in the whole one.

use failover_core::policy::Limit;
use failover_core::sim::{Capacity, Deed, Whom};

use super::{CandidateError, Goal, Tried, candidates, rank_of, staggered};
use crate::herd::{Contestant, Herd, run_all};
use crate::scenario::{Scenario, What};

/// A herd of more clients than twice this is first played with about so many.
const ENOUGH: usize = 20_000;
/// How many policies are played with the whole herd, where it was not played whole before.
const FINALISTS: usize = 8;
/// How many of the best policies are tried with other staggers.
const STAGGERED: usize = 3;

/// What a search found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// Tried with all clients, the best first.
    pub tried: Vec<Tried>,
    /// Tried only with fewer clients, of servers that take as many times less; the best first.
    pub dropped: Vec<Tried>,
}

/// Tries the [`candidates`] and the staggers of the best of them; `done` hears how many herds of how many
/// were played.
///
/// # Errors
/// A policy that cannot be built or written.
pub fn search(
    scenario: &Scenario,
    goal: &Goal,
    jobs: usize,
    done: &(dyn Fn(usize, usize) + Sync),
) -> Result<Found, CandidateError> {
    let times = u32::try_from(scenario.clients / ENOUGH).unwrap_or(u32::MAX);
    let times = if times > 2 { times } else { 1 };
    let world = smaller(scenario, times);
    let first = candidates(scenario)?;
    let finals = if times > 1 { FINALISTS } else { 0 };
    // Of each of the best, the three staggers that it does not have.
    let all = first.len() + 3 * STAGGERED + finals;
    let play = |world: &Scenario, from: usize, chosen: &[(Contestant, String)]| {
        let contestants: Vec<Contestant> = chosen.iter().map(|(c, _)| c.clone()).collect();
        let seeds = [world.seed];
        let herds = run_all(world, &contestants, &seeds, jobs, &|n| done(from + n, all));
        let tried =
            |(herd, (_, toml)): (Herd, &(Contestant, String))| Tried::new(toml.clone(), herd);
        herds.into_iter().zip(chosen).map(tried).collect::<Vec<_>>()
    };
    let mut tried = play(&world, 0, &first);
    rank_of(goal, &mut tried, times);

    let mut known = first;
    let mut more = Vec::new();
    for best in tried.iter().take(STAGGERED) {
        if let Some((contestant, _)) = known.iter().find(|(c, _)| c.name == best.herd.policy) {
            more.extend(staggered(scenario, contestant)?);
        }
    }
    // In an outage of all servers at once a race changes nothing: such a policy is no other.
    let other = |new: &Tried| !tried.iter().any(|old| same(&old.herd, &new.herd));
    let played = play(&world, known.len(), &more);
    let (others, alike): (Vec<Tried>, Vec<Tried>) = played.into_iter().partition(other);
    tried.extend(others);
    rank_of(goal, &mut tried, times);
    known.extend(more);
    if times == 1 {
        tried.extend(alike);
        return Ok(Found {
            tried,
            dropped: Vec::new(),
        });
    }

    let mut dropped = tried.split_off(FINALISTS.min(tried.len()));
    dropped.extend(alike);
    let named = |best: &Tried| {
        known
            .iter()
            .find(|(c, _)| c.name == best.herd.policy)
            .cloned()
    };
    let chosen: Vec<_> = tried.iter().filter_map(named).collect();
    let mut tried = play(scenario, all - finals, &chosen);
    rank_of(goal, &mut tried, 1);
    Ok(Found { tried, dropped })
}

/// Whether two herds lived through the same.
fn same(one: &Herd, other: &Herd) -> bool {
    (one.back, &one.servers, one.waited) == (other.back, &other.servers, other.waited)
}

/// The same world with so many times fewer clients, and servers that can take so many times less.
fn smaller(scenario: &Scenario, times: u32) -> Scenario {
    let mut small = scenario.clone();
    if times <= 1 {
        return small;
    }
    small.clients /= usize::try_from(times).unwrap_or(usize::MAX);
    for named in &mut small.endpoints {
        named.server.capacity = less(named.server.capacity, times);
    }
    for act in &mut small.acts {
        if let What::Deed(Deed::Capacity(capacity)) = &mut act.deed {
            *capacity = less(*capacity, times);
        }
    }
    let clients = small.clients;
    let there = |whom: Whom| match whom {
        Whom::All => true,
        Whom::Client(client) => client < clients,
    };
    small.commands.retain(|command| there(command.whom));
    small
}

fn less(capacity: Capacity, times: u32) -> Capacity {
    let connections = match capacity.connections {
        Limit::AtMost(most) => Limit::AtMost(most.div_ceil(times)),
        other => other,
    };
    let work = capacity.work.saturating_mul(times);
    capacity.connections(connections).work(work)
}
