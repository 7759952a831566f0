//! `failover demo`: it passes, and each of its checks can fail.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;
use std::time::Duration;

use examples::demo::{Demo, Fault, LONGEST, Report};
use examples::timeline::Style;
use serde_json::Value;

#[test]
fn the_client_is_back_after_every_outage_and_json_says_so() {
    let ran = Command::new(env!("CARGO_BIN_EXE_failover"))
        .args(["demo", "--json", "--seed", "7"])
        .output()
        .unwrap();
    let stdout = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{stdout}");
    assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");

    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["event"], &summary["ok"]),
        (&"summary".into(), &true.into())
    );
    assert!(summary["took_ms"].as_f64().unwrap() < LONGEST.as_secs_f64() * 1e3);
    assert!(summary["lines_echoed"].as_u64().unwrap() > 100, "{summary}");

    let outages = summary["outages"].as_array().unwrap();
    assert!(outages.len() >= 5, "{summary}");
    for row in outages {
        let (detected, back) = (&row["detected_after_ms"], &row["back_after_ms"]);
        assert!(
            detected.as_f64() <= back.as_f64() && back.is_number(),
            "{row}"
        );
    }
    // The first connection and each one after a loss are told by the connector itself.
    let told = |event| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!(told("connected"), 1);
    assert_eq!(
        told("disconnected"),
        told("failed-over") + told("reconnected") + 1
    );
    assert_eq!(told("closed"), 1);
    for endpoint in ["tcp", "tls", "ws", "wss"] {
        assert!(
            lines
                .iter()
                .any(|line| line["endpoint"] == endpoint && line["ok"] == true)
        );
    }
}

#[tokio::test]
async fn a_spare_is_promoted_when_its_server_was_not_taken_away() {
    let demo = Demo {
        seed: 7,
        standby: 1,
        style: Style::Plain,
        fault: None,
    };
    let mut told = Vec::new();
    let report = demo.run(&mut told).await.unwrap();
    let told = String::from_utf8(told).unwrap();
    assert!(report.is_ok(), "{told}{}", report.text(Style::Plain));
    let outage = |name| report.outages.iter().find(|row| row.outage == name);
    for name in ["server stopped", "reset mid-stream"] {
        let row = outage(name).unwrap();
        assert!(row.promoted_after.is_some(), "{row:?}\n{told}");
        assert_eq!(row.attempts, 0, "{row:?}\n{told}");
    }
    assert!(told.contains("promoted"), "{told}");
    assert!(report.text(Style::Plain).contains(" µs"));
}

#[tokio::test]
async fn one_wrong_bit_fails() {
    let report = run(Fault::FlipBit(500)).await;
    let failure = only(&report);
    assert!(
        failure.starts_with("byte ") && failure.contains("should be"),
        "{failure}"
    );
}

#[tokio::test]
async fn servers_that_never_come_back_fail() {
    let report = run(Fault::NeverBack).await;
    let failure = only(&report);
    assert!(failure.contains("not connected again within"), "{failure}");
    assert!(report.outages.last().unwrap().back_after.is_none());
}

#[tokio::test]
async fn an_outage_that_nobody_notices_fails() {
    let report = run(Fault::NoOutage).await;
    assert_eq!(
        only(&report),
        "server stopped: tcp: not noticed within 500 ms"
    );
    assert!(report.took < Duration::from_secs(5));
}

#[tokio::test]
async fn a_transport_that_was_never_used_fails() {
    let report = run(Fault::NoWss).await;
    assert_eq!(only(&report), "the client was never connected over wss");
    assert!(report.outages.iter().all(|row| row.back_after.is_some()));
}

async fn run(fault: Fault) -> Report {
    let demo = Demo {
        seed: 7,
        standby: 0,
        style: Style::Plain,
        fault: Some(fault),
    };
    let mut told = Vec::new();
    let report = demo.run(&mut told).await.unwrap();
    assert!(!report.is_ok(), "{}", String::from_utf8(told).unwrap());
    report
}

fn only(report: &Report) -> &str {
    let text = report.text(Style::Plain);
    assert_eq!(report.failures.len(), 1, "{text}");
    assert!(text.contains("FAILED: "), "{text}");
    &report.failures[0]
}
