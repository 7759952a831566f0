//! What `failover tune` tries, and what it gives to be pasted.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::time::Duration;

use examples::herd::tune::{Goal, candidates, search, staggered};
use examples::scenario::Scenario;

#[test]
fn the_keys_of_each_candidate_pasted_into_its_scenario_make_the_policy_that_was_tried() {
    for own in [
        "",
        "preset = \"nats\"\nstable_after = \"3s\"\n",
        "preset = \"stompit\"\nlimits = { turns = 7 }\n",
    ] {
        let world = read(&format!("[policy]\n{own}"));
        let all = candidates(&world).unwrap();
        assert!(all.len() > 50, "{}", all.len());
        for (contestant, keys) in all {
            let pasted = keys.replacen("[policy]\n", &format!("[policy]\n{own}"), 1);
            assert_eq!(read(&pasted).policy, contestant.policy, "{pasted}");
        }
    }
}

#[test]
fn what_is_not_searched_stays_as_the_scenario_has_it() {
    let world = read(
        "[policy]\npreset = \"nats\"\npace = { min = \"300ms\", first = \"700ms\", custom = \"bounded\", every = \"attempt\" }",
    );
    let own = world.policy.pace();
    let all = candidates(&world).unwrap();
    // Laws that begin below the least wait cannot be.
    assert!(all.len() > 30, "{}", all.len());
    for (contestant, _) in all {
        let pace = contestant.policy.pace();
        assert_eq!(
            (pace.min, pace.first, pace.custom, pace.every),
            (own.min, own.first, own.custom, own.every),
            "{}",
            contestant.name
        );
        assert_eq!(contestant.policy.race(), world.policy.race());
    }
}

#[test]
fn the_stagger_of_a_race_is_searched_where_there_is_another_server_to_dial() {
    let one = read("");
    let (first, _) = candidates(&one).unwrap().remove(0);
    assert!(staggered(&one, &first).unwrap().is_empty());
    let text = "version = 1\nuntil = \"1m\"\nendpoints = [\"tls://a:7443\", \"tls://b:7443\"]\n";
    let two = Scenario::parse("two", text).unwrap();
    let all = staggered(&two, &first).unwrap();
    assert_eq!(all.len(), 3);
    for (contestant, keys) in all {
        assert!(contestant.policy.race().most() > 1);
        let pasted = Scenario::parse("pasted", &format!("{text}{keys}")).unwrap();
        assert_eq!(pasted.policy, contestant.policy, "{keys}");
    }
}

#[test]
fn a_search_finds_a_policy_for_a_goal_that_the_servers_can_meet() {
    let world = outage(2_000, "1ms");
    let goal = Goal::new(99, Duration::from_secs(30)).peak(500.0);
    let found = search(&world, &goal, 2, &|_, _| {}).unwrap();
    assert!(found.dropped.is_empty(), "few clients are played whole");
    let best = &found.tried[0];
    assert!(goal.reached(&best.herd), "{}", best.herd);
    assert_eq!(best.herd.clients, 2_000);
    let reached = found.tried.iter().filter(|t| goal.reached(&t.herd));
    let dials: Vec<f64> = reached.map(|t| t.herd.dials_each()).collect();
    assert!(dials.is_sorted(), "the fewest dials first: {dials:?}");
}

#[test]
fn a_goal_beyond_what_the_servers_can_do_is_told_before_anything_is_tried() {
    let within = Duration::from_secs;
    let why = |world: &Scenario, goal: Goal| goal.out_of_reach(world);
    let world = outage(60_000, "1ms");
    // Sixty seconds of work.
    let told = why(&world, Goal::new(100, within(50))).unwrap();
    assert!(
        told.contains("the work that the only server has with each lets it take 1000"),
        "{told}"
    );
    assert_eq!(why(&world, Goal::new(100, within(61))), None);
    let told = why(&world, Goal::new(50, within(100)).peak(200.0)).unwrap();
    assert!(
        told.contains("300 connections a second at the only server, and 200"),
        "{told}"
    );
    assert_eq!(why(&world, Goal::new(50, within(100)).peak(301.0)), None);
    let mut small = world.clone();
    let most = failover_core::policy::Limit::AtMost(1000);
    let server = small.endpoints[0].server;
    small.endpoints[0].server = server.capacity(server.capacity.connections(most));
    let told = why(&small, Goal::new(50, within(3600))).unwrap();
    assert!(
        told.contains("the only server holds 1000 connections, and 50 % of"),
        "{told}"
    );

    // Where some keep their connections, nobody knows how many have to come back.
    let text = "version = 1\nuntil = \"1m\"\nclients = 60000\nendpoints = [\"tls://a:1\"]\n\
        [servers.\"a:1\"]\nwork = \"1ms\"\n\
        [[world]]\nfrom = \"10s\"\nto = \"20s\"\ndoes = \"down\"\nclients = \"1%\"\n";
    let partly = Scenario::parse("partly", text).unwrap();
    assert_eq!(why(&partly, Goal::new(100, within(1))), None);

    let endless = text
        .replace("to = \"20s\"\n", "")
        .replace("clients = \"1%\"\n", "");
    let endless = Scenario::parse("endless", &endless).unwrap();
    let told = why(&endless, Goal::new(50, within(3600))).unwrap();
    assert!(told.contains("never heals: down at the end: a:1"), "{told}");
}

/// So many clients of one server with this work for each, which is away for ten seconds.
fn outage(clients: u32, work: &str) -> Scenario {
    let text = format!(
        "version = 1\nuntil = \"90s\"\nclients = {clients}\nstart_over = \"5s\"\nendpoints = [\"tls://a:1\"]\n\
         [servers.\"a:1\"]\nwork = \"{work}\"\n\
         [[world]]\nfrom = \"20s\"\nto = \"30s\"\ndoes = \"down\"\n"
    );
    Scenario::parse("outage", &text).unwrap()
}

fn read(policy: &str) -> Scenario {
    let text = format!(
        "version = 1\nuntil = \"1m\"\nendpoints = [\"tls://a:7443\"]\n\n{policy}\n\
         [[world]]\nfrom = \"10s\"\nto = \"20s\"\ndoes = \"down\"\n"
    );
    Scenario::parse("world", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
