//! `migrate`: the documents' own examples, and what makes no sense.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::process::Command;
use std::time::Duration;

use examples::migrate::{System, migrate};
use failover_core::config::Deployment;
use failover_core::failure::{Failure, Kind};
use failover_core::link::{Late, Reply};
use failover_core::policy::{Limit, Policy, Reaction, Walk};
use serde::de::IgnoredAny;

type Plain = Deployment<IgnoredAny>;

fn read(from: System, text: &str) -> (Plain, Policy, Vec<String>) {
    let migrated = migrate(from, text).unwrap();
    let deployment: Plain = toml::from_str(&migrated.toml).unwrap();
    deployment.check().unwrap();
    let policy = deployment.policy().unwrap();
    (deployment, policy, migrated.notes)
}

fn refused(from: System, text: &str) -> String {
    migrate(from, text).unwrap_err().to_string()
}

const FIRST: &str = r#"<endpoint name="SampleFailover">
  <failover>
    <endpoint name="Sample_First" statistics="enable" >
      <address uri="http://localhost/myendpoint" statistics="enable" trace="disable">
        <timeout><duration>60000</duration></timeout>
        <markForSuspension>
          <errorCodes>101504, 101505, 101500</errorCodes>
          <retriesBeforeSuspension>3</retriesBeforeSuspension>
          <retryDelay>10</retryDelay>
        </markForSuspension>
        <suspendOnFailure>
          <initialDuration>1000</initialDuration>
          <progressionFactor>2</progressionFactor>
          <maximumDuration>64000</maximumDuration>
        </suspendOnFailure>
      </address>
    </endpoint>
  </failover>
</endpoint>"#;

const SECOND: &str = r#"<endpoint><failover>
  <endpoint name="fooEP">
    <http uri-template="http://localhost:8080/foo">
      <timeout><duration>10000</duration><responseAction>fault</responseAction></timeout>
      <suspendOnFailure>
        <errorCodes>101503,101504,101505,101507</errorCodes>
        <initialDuration>100</initialDuration>
        <progressionFactor>1.0</progressionFactor>
        <maximumDuration>30000</maximumDuration>
      </suspendOnFailure>
    </http>
  </endpoint>
  <endpoint name="barEP">
    <http uri-template="http://localhost:8081/bar">
      <timeout><duration>10000</duration><responseAction>fault</responseAction></timeout>
      <suspendOnFailure>
        <errorCodes>101503,101504,101505,101507</errorCodes>
        <initialDuration>100</initialDuration>
        <progressionFactor>1.0</progressionFactor>
        <maximumDuration>30000</maximumDuration>
      </suspendOnFailure>
      <retryConfig><disabledErrorCodes>101507,101504</disabledErrorCodes></retryConfig>
    </http>
  </endpoint>
</failover></endpoint>"#;

#[test]
fn the_first_synapse_example() {
    let (deployment, policy, _) = read(System::Synapse, FIRST);
    assert_eq!(policy.order().walk, Walk::FirstReady);
    assert_eq!(
        (policy.health().retries, policy.health().factor.ppm()),
        (3, 2_000_000)
    );
    let coded = |code| policy.reactions().to(&Failure::new(Kind::Other).code(code));
    assert_eq!(coded(101_500), Reaction::Mark);
    assert_eq!(coded(101_503), Reaction::Suspend);
    let directory = deployment.directory().unwrap();
    let server = directory
        .get(directory.find("Sample_First").unwrap())
        .unwrap();
    assert_eq!(server.routes()[0].expose(), "tcp://localhost:80");
}

#[test]
fn the_second_synapse_example_has_a_class_for_the_endpoint_that_differs() {
    let (deployment, policy, notes) = read(System::Synapse, SECOND);
    let directory = deployment.directory().unwrap();
    let class = |name| {
        directory
            .get(directory.find(name).unwrap())
            .unwrap()
            .overrides()
            .class
    };
    assert_eq!((class("fooEP"), class("barEP")), (0, 1));
    let timed_out = Failure::new(Kind::Stale).code(101_504);
    // Marked by default, and without retries a mark suspends.
    assert_eq!(policy.reaction_in(0, &timed_out), Reaction::Mark);
    assert_eq!(policy.reaction_in(1, &timed_out), Reaction::Stop);
    let ignored = Failure::new(Kind::Reset).code(101_500);
    assert_eq!(policy.reaction_in(1, &ignored), Reaction::Next);
    let reply = Reply::Within {
        deadline: Duration::from_secs(10),
        then: Late::Fault,
    };
    assert_eq!(deployment.link().unwrap().reply, reply);
    assert!(notes.iter().any(|note| note.contains("disabledErrorCodes")));
}

#[test]
fn a_group_of_groups_is_tiers() {
    let group = |port| {
        let address = format!("<endpoint><address uri=\"tcp://h:{port}\"/></endpoint>");
        format!("<endpoint><loadbalance>{address}</loadbalance></endpoint>")
    };
    let text = format!(
        "<endpoint><failover>{}{}</failover></endpoint>",
        group(1),
        group(2)
    );
    let (deployment, policy, _) = read(System::Synapse, &text);
    let directory = deployment.directory().unwrap();
    let tiers: Vec<u8> = directory
        .iter()
        .map(|(_, endpoint)| endpoint.overrides().tier)
        .collect();
    assert_eq!((tiers, policy.order().walk), (vec![0, 1], Walk::Rotate));
}

#[test]
fn stompits_example() {
    let uri = "failover:(tcp://172.17.42.1:61613,tcp://172.17.42.2:61613)?maxReconnects=10";
    let (_, policy, notes) = read(System::Stompit, uri);
    assert_eq!(policy.limits().per_endpoint, Limit::AtMost(10));
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn activemqs_preferred_servers_are_a_tier() {
    let uri = "failover:(tcp://a:1,tcp://b:2,tcp://c:3)?priorityBackup=true&priorityURIs=tcp%3A%2F%2Fb%3A2&updateURIsURL=file%3A%2F%2Fx";
    let (deployment, policy, notes) = read(System::ActiveMq, uri);
    let directory = deployment.directory().unwrap();
    let tiers: Vec<u8> = directory
        .iter()
        .map(|(_, endpoint)| endpoint.overrides().tier)
        .collect();
    assert_eq!(tiers, [1, 0, 1]);
    assert!(policy.standing().failback.is_some());
    assert!(notes[0].contains("updateURIsURL"));
}

#[test]
fn a_servers_own_timeout_is_its_deadline() {
    let servers = |from, uri| {
        let (deployment, _, notes) = read(from, uri);
        let directory = deployment.directory().unwrap();
        let servers: Vec<(String, Option<Duration>)> = directory
            .iter()
            .map(|(_, server)| (server.routes()[0].expose(), server.overrides().deadline))
            .collect();
        (servers, notes)
    };
    let secs = |secs| Some(Duration::from_secs(secs));
    let nested =
        "failover:(tcp://a:1?connectionTimeout=5000,tcp://b:2)?nested.connectionTimeout=2000";
    let (two, notes) = servers(System::ActiveMq, nested);
    let expected = [("tcp://a:1".into(), secs(5)), ("tcp://b:2".into(), secs(2))];
    assert_eq!((two.as_slice(), notes.len()), (expected.as_slice(), 0));

    let among = "failover:(ws://a:1/x?v=1&connectionTimeout=4000)";
    let (one, _) = servers(System::ActiveMq, among);
    assert_eq!(one, [("ws://a:1/x?v=1".into(), secs(4))]);

    let (one, notes) = servers(System::ActiveMq, "failover:(tcp://a:1?connectionTimeout=0)");
    assert_eq!(one, [("tcp://a:1".into(), None)]);
    assert!(notes[0].contains("every dial has a deadline"), "{notes:?}");

    let error = refused(
        System::ActiveMq,
        "failover:(tcp://a:1?connectionTimeout=5s)",
    );
    assert!(error.contains("milliseconds"), "{error}");
}

#[test]
fn natss_pings_at_zero_and_below() {
    let heartbeat = |options: &str| {
        let (deployment, ..) = read(System::Nats, &format!("Servers=nats://a\n{options}"));
        deployment.link().unwrap().heartbeat
    };
    for off in ["0", "0s", "-1", "-1s"] {
        assert_eq!(heartbeat(&format!("PingInterval={off}")), None, "{off}");
    }
    assert_eq!(heartbeat("MaxPingsOut=0"), heartbeat(""));
    assert_ne!(heartbeat("MaxPingsOut=1"), heartbeat(""));
    let error = refused(System::Nats, "Servers=nats://a\nMaxPingsOut=-1");
    assert!(
        error.contains("takes every connection for stale"),
        "{error}"
    );
}

#[test]
fn natss_options() {
    let text = "# ours\nServers = nats://a:4222, tls://b:4223\nMaxReconnect=-1\nReconnectWait=1s\nReconnectJitterMax=500ms\nDrainTimeout=30s\n";
    let (deployment, policy, notes) = read(System::Nats, text);
    assert_eq!(deployment.directory().unwrap().iter().count(), 2);
    assert_eq!(policy.limits().per_endpoint, Limit::Unlimited);
    assert_eq!(policy.pace().cap, Duration::from_millis(1_500));
    assert_eq!(notes.len(), 3);
    assert!(notes.iter().any(|note| note.starts_with("tls://")));
}

#[test]
fn diffusions_options() {
    let reconnect = "servers=tcp://a:8080\nreconnect.timeout=30000\nreconnect.interval=1000";
    let (_, policy, _) = read(System::Diffusion, reconnect);
    assert_eq!(policy.resume().unwrap().window, Duration::from_secs(30));
    let failover = "servers=a:1,b:2\nautofailover=true\ncascading=true\nloadBalancing=true";
    let (_, policy, _) = read(System::Diffusion, failover);
    assert_eq!(policy.resume(), None);
    let both = format!("{failover}\nreconnect.timeout=30000");
    let (_, policy, notes) = read(System::Diffusion, &both);
    assert!(policy.resume().is_some() && notes[0].contains("C client"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let evil = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><endpoint><address uri="&b;"/></endpoint>"#;
    for (from, text, part) in [
        (System::Synapse, evil, "DTD"),
        (System::Synapse, "<endpoint>", "XML"),
        (System::Synapse, "<endpoint/>", "no address"),
        (
            System::Synapse,
            "<endpoint><adress uri='tcp://a:1'/></endpoint>",
            "unknown",
        ),
        (
            System::Synapse,
            "<endpoint><address uri='tcp://a:1'><suspendOnFailure><initialDuration>1s</initialDuration></suspendOnFailure></address></endpoint>",
            "milliseconds",
        ),
        (
            System::Synapse,
            "<endpoint><address uri='tcp://a:1'><timeout><duratio>1</duratio></timeout></address></endpoint>",
            "unknown here",
        ),
        (
            System::Synapse,
            "<endpoint><address uri='jms:/q'/></endpoint>",
            "no transport",
        ),
        (System::Stompit, "failover:(tcp://a:1", "has no partner"),
        (
            System::Stompit,
            "failover:(tcp://a:1)?maxReconnectAttempts=1",
            "there is no option",
        ),
        (System::ActiveMq, "failover:(vm://a)", "no transport"),
        (System::Nats, "MaxReconect=1", "line 1"),
        (
            System::Nats,
            "Servers=nats://a\nReconnectWait=2",
            "a duration with its unit",
        ),
        (
            System::Nats,
            "Servers=nats://a\nServers=nats://b",
            "line 1 already",
        ),
        (
            System::Nats,
            "MaxReconnect=1",
            "servers: there is none: write `Servers=nats://host:4222`",
        ),
        (
            System::Diffusion,
            "servers=a:1\ncascading=yes",
            "true or false",
        ),
    ] {
        let error = refused(from, text);
        assert!(error.contains(part), "{text}: {error}");
    }
    let error = refused(System::Nats, "Servers=nats://joe:secret@a:x");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn the_tool_writes_toml_and_ends_with_2_for_bad_input() {
    let run = |text: &str| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_failover"));
        tool.args(["migrate", "--from", "stompit", "--text", text]);
        tool.output().unwrap()
    };
    let good = run("tcp://a:1,tcp://b:2");
    assert!(good.status.success());
    assert!(
        String::from_utf8(good.stdout)
            .unwrap()
            .contains("preset = \"stompit\"")
    );
    let bad = run("failover:(tcp://a:1");
    assert_eq!(bad.status.code(), Some(2));
    assert!(bad.stdout.is_empty());
}

#[test]
fn a_server_without_a_port_has_its_systems_default_or_a_note() {
    let urls = |deployment: &Plain| -> Vec<String> {
        let endpoints = deployment.endpoints.iter().flatten();
        let urls = endpoints.map(|form| form.endpoint().unwrap().routes()[0].to_string());
        urls.collect()
    };
    let (nats, _, notes) = read(System::Nats, "Servers=nats://a, tls://b, ws://c\n");
    assert_eq!(urls(&nats), ["tcp://a:4222", "tls://b:4222", "ws://c"]);
    assert!(!notes.iter().any(|note| note.contains("port")), "{notes:?}");
    let (stompit, _, notes) = read(System::Stompit, "failover:(tcp://a:61613,ssl://b)");
    assert_eq!(urls(&stompit), ["tcp://a:61613", "tls://b"]);
    let note = "b: no port is given, and none is assumed here: write one behind the host";
    assert_eq!(notes, [note]);
}
