//! `explain` and `verify` as a library.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::time::Duration;

use examples::explain::explain;
use examples::policy_file::PolicyFile;
use examples::scenario::Scenario;
use examples::simulate;
use examples::verify::{Verdict, Verify, in_step};
use failover_core::endpoint::Security;
use failover_core::policy::{Limits, MaxAge, Policy, Standing};
use failover_core::testing::Case;

fn preset(name: &str) -> PolicyFile {
    PolicyFile::of_preset(name.parse().unwrap()).unwrap()
}

fn verify(worlds: u32) -> Verify {
    Verify {
        worlds,
        seed: 7,
        survive: None,
    }
}

fn risks(name: &str) -> Vec<&'static str> {
    let explained = explain(name, &preset(name).preset, 3);
    explained.risks.iter().map(|risk| risk.name).collect()
}

#[test]
fn stompits_series_is_measured_and_its_missing_jitter_is_a_risk() {
    let explained = explain("stompit", &preset("stompit").preset, 1);
    let millis = explained.plain.delays.iter().map(|d| d.median.as_millis());
    let series: Vec<u128> = millis.take(8).collect();
    // The floor stands where stompit would dial again at once.
    assert_eq!(series[1..], [10, 30, 70, 150, 310, 630, 1270]);
    assert!(risks("stompit").contains(&"no-jitter"));
    assert!(risks("stompit").contains(&"no-flap-guard"));
}

#[test]
fn a_policy_that_ends_by_itself_is_told_with_the_time() {
    let explained = explain("nats", &preset("nats").preset, 3);
    let end = explained.plain.gives_up_refused.unwrap();
    let two_minutes = Duration::from_secs(120)..Duration::from_secs(130);
    assert!(two_minutes.contains(&end.median), "{end:?}");
    assert!(risks("nats").contains(&"ends") && risks("nats").contains(&"slow-liveness"));
    assert_eq!(risks("default"), ["no-liveness"]);
}

#[test]
fn every_key_that_is_changed_changes_the_words() {
    let words = |text: &str| {
        let file = PolicyFile::parse("p", &format!("version = 1\n[policy]\n{text}")).unwrap();
        let explained = explain("p", &file.preset, 2);
        [explained.words, explained.link].concat().join("\n")
    };
    let default = words("");
    for change in [
        "order.walk = 'listed'",
        "order.lost = 'last'",
        "pace.law = 'constant'\npace.wait = '1s'",
        "pace.every = 'attempt'",
        "pace.cap = '9s'",
        "pace.first = '1s'",
        "pace.custom = 'bounded'",
        "pace.custom = 'unbounded'",
        "deadline = '6s'",
        "turn_deadline = '6s'",
        "stable_after = '6s'",
        "start = 'first-only'",
        "start = 'persevere'",
        "limits.turns = 7",
        "limits.per_endpoint = 7",
        "limits.sweeps = 7",
        "limits.elapsed = '7s'",
        "start_up_limits.turns = 7",
        "health.initial = '7s'",
        "health.factor = 3",
        "health.maximum = '700s'",
        "health.retries = 7",
        "health.retry_delay = '7s'",
        "nobody_ready = 'fail'",
        "nobody_ready = 'least-bad'",
        "plain_fallback = 'allow'",
        "reactions = [{ kind = 'auth', reaction = 'stop' }]",
        "classes = [{ per_endpoint = 7 }]",
        "classes = [{ health = { initial = '7s' } }]",
        "classes = [{ reactions = [{ kind = 'auth', reaction = 'stop' }] }]",
        "race.most = 2",
        "race.stagger = '20ms'",
        "race = { stagger_min = '20ms', stagger_max = '40ms' }",
        "resume = { window = '7s', every = '1s' }",
        "standing.overlap = 'forbidden'",
        "standing.spares = 1",
        "standing.drain_spread = '7s'",
        "standing.grace = '7s'",
        "standing.wake_spread = '7s'",
        "standing.failback = { every = '7s' }",
        "standing.max_age = { age = '7s' }",
    ] {
        assert_ne!(words(change), default, "{change}");
    }
    let constant = "pace = { law = 'constant', wait = '1s' }\n";
    for change in ["jitter = 'equal'", "tls_jitter = '1s'"] {
        assert_ne!(
            words(&format!("{constant}{change}")),
            words(constant),
            "{change}"
        );
    }
    let least = "pace = { law = 'constant', wait = '1s', min = '900ms' }\njitter = 'full'\n";
    assert_ne!(words(least), words(&format!("{constant}jitter = 'full'\n")));
}

#[test]
fn the_spread_that_counts_is_told_beside_the_one_that_was_asked_for() {
    let text = "version = 1\n[policy.pace]\nspread = \"3s\"\ntls_spread = \"4s\"\ncap = \"8s\"\n";
    let file = PolicyFile::parse("spread", text).unwrap();
    let said = explain("spread", &file.preset, 3).to_string();
    for told in [
        "begins within 2.00 s (4s before TLS), doubles, and ends at 8s",
        "; spread = 3s is shrunk to 2.00 s, so that doubling ends at 8s.",
    ] {
        assert!(said.contains(told), "{said}");
    }
    let said = explain("default", &preset("default").preset, 3).to_string();
    assert!(
        said.contains("begins within 125ms (1s before TLS), doubles"),
        "{said}"
    );
}

#[test]
fn the_two_ways_to_be_turned_away_have_words_of_their_own() {
    let said = explain("default", &preset("default").preset, 3).to_string();
    for told in [
        "when each of them turned it away for a reason of its own, such as a wrong password, it ends",
        "3 endpoints, all down",
        "every server is down: never",
    ] {
        assert!(said.contains(told), "{told}\n{said}");
    }
    assert!(!said.contains("refus"), "{said}");
}

#[test]
fn the_delays_before_tls_are_told_apart() {
    let explained = explain("nats", &preset("nats").preset, 1);
    let (plain, tls) = (&explained.plain.delays, &explained.tls.delays);
    assert!(plain[0].most < Duration::from_millis(2_100));
    assert!(tls[0].most > Duration::from_millis(2_500));
    assert_eq!(
        explained.json()["plain"]["delays"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
}

#[test]
fn every_law_holds_of_every_preset() {
    for name in [
        "default",
        "stompit",
        "activemq",
        "nats",
        "diffusion_failover",
    ] {
        let verdict = verify(60).run(&preset(name).preset.policy).unwrap();
        assert!(
            matches!(verdict, Verdict::Holds { .. }),
            "{name}: {verdict:?}"
        );
    }
}

#[test]
fn who_knocks_in_step_is_told() {
    for (name, over) in [
        ("default", vec![]),
        ("nats", vec![]),
        ("diffusion_failover", vec![]),
        ("stompit", vec![Security::Plain, Security::Tls]),
        ("activemq", vec![Security::Plain, Security::Tls]),
    ] {
        let found = in_step(&preset(name).preset.policy);
        let found: Vec<Security> = found.into_iter().map(|(security, _)| security).collect();
        assert_eq!(found, over, "{name}");
    }
}

#[test]
fn a_policy_with_every_odd_value_is_verified_in_worlds_that_can_be_read() {
    for bytes in 0..40_u8 {
        let bytes: Vec<u8> = (0..120).map(|n: u8| n.wrapping_mul(bytes)).collect();
        let policy = Case::policy_from_bytes(&bytes).build().unwrap();
        // A random policy may well give up; that is no error here.
        verify(2).run(&policy).unwrap();
    }
    let policy = Policy::builder()
        .stable_after(Duration::MAX)
        .limits(Limits::UNLIMITED.elapsed(Duration::MAX))
        .turn_deadline(None)
        .resume(None)
        .build()
        .unwrap();
    verify(2).run(&policy).unwrap();
}

#[test]
fn worlds_in_which_too_much_happens_are_counted() {
    // A connection that is too old after 2 ms, all the time.
    let max_age = MaxAge::new(Duration::from_millis(2)).spread(Duration::ZERO);
    let standing = Standing::default().max_age(max_age);
    let policy = Policy::builder().standing(standing).build().unwrap();
    let verdict = verify(6).run(&policy).unwrap();
    let Verdict::Holds { cut, .. } = verdict else {
        panic!("{verdict:?}");
    };
    assert!((1..=6).contains(&cut), "{cut}");
}

#[test]
fn an_outage_that_is_not_survived_is_a_scenario_that_can_be_played() {
    let verify = Verify {
        worlds: 0,
        seed: 1,
        survive: Some(Duration::from_secs(3600)),
    };
    let survived = verify.run(&preset("default").preset.policy).unwrap();
    assert!(matches!(survived, Verdict::Holds { .. }), "{survived:?}");
    let Verdict::Broken {
        violation,
        scenario: Some(text),
    } = verify.run(&preset("nats").preset.policy).unwrap()
    else {
        panic!("nats gives up");
    };
    assert_eq!(violation.law, "L17");
    let scenario = Scenario::parse("why", &text).unwrap();
    let Ok(summary) = simulate::play(&scenario, &mut |_| Ok::<(), std::convert::Infallible>(()));
    assert_eq!((summary.connected, summary.closed), (0, 1));
}

#[test]
fn a_file_says_how_many_endpoints_its_policy_is_for() {
    let listed = |text: &str| {
        let text = format!("version = 1\n{text}");
        PolicyFile::parse("p", &text).unwrap().endpoints
    };
    assert_eq!(listed("[policy]\n"), 0);
    let two = "endpoints = [\"tcp://a:1\", \"tcp://b:1\"]\n";
    assert_eq!(listed(two), 2);
    // A scenario may have servers that are listed later.
    let later = "until = \"9s\"\n[servers.\"b:1\"]\nlisted = false\n";
    assert_eq!(listed(&format!("{two}{later}")), 1);
}

#[test]
fn a_file_of_a_policy_is_refused_with_its_line() {
    let wrong = |text: &str| PolicyFile::parse("p", text).unwrap_err().to_string();
    assert!(wrong("version = 1\n[policy]\npace = { min = \"1m\" }").starts_with("p:2: policy: "));
    assert!(wrong("version = 1\n[polcy]\n").contains("did you mean `policy`?"));
    assert!(wrong("version = 9\n").starts_with("p:1: version: "));
}

#[test]
fn the_world_does_not_end_with_the_longest_outage() {
    let verify = Verify {
        survive: Some(Verify::LONGEST),
        ..verify(0)
    };
    let survived = verify.run(&preset("stompit").preset.policy).unwrap();
    assert!(matches!(survived, Verdict::Holds { .. }), "{survived:?}");
}
