//! What the storm's program promises, with real processes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::{Command, Output};

use failover_bench::storm::{Figures, Over};

#[test]
fn everybody_comes_back_and_is_counted() {
    for (tcp, tls, over) in [("40", "0", Over::Tcp), ("0", "20", Over::Tls)] {
        let arguments = ["--tcp", tcp, "--tls", tls, "--outage", "300", "--clients"];
        let output = storm(&[&arguments[..], &["naive,stubborn-io", "--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let runs: Vec<Figures> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(runs.len(), 2);
        for run in runs {
            assert_eq!(run.run.over, over);
            assert_eq!(run.connected, run.run.clients);
            assert!(run.away >= run.run.outage);
            assert!(run.back.is_sorted() && run.back[0].is_some());
            // Each dialled in vain, or was just not refused; and once with success.
            let clients = u64::try_from(run.run.clients).unwrap();
            assert!(run.dials >= clients && run.refused + run.failed + clients <= run.dials);
            assert!((1..=clients).contains(&run.peak_accepts));
            assert!(run.predicted.back[3].is_some());
        }
    }
}

#[test]
fn too_few_descriptors_are_told_before_anything_starts() {
    let script = "ulimit -n 300; exec \"$0\" --tcp 5000";
    let program = env!("CARGO_BIN_EXE_storm");
    let output = Command::new("sh")
        .args(["-c", script, program])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("5200 open descriptors") && said.contains("limit is 300"),
        "{said}"
    );
}

#[test]
fn unknown_clients_are_told_with_those_there_are() {
    let output = storm(&["--clients", "nast"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("did you mean \"nats\"?"), "{said}");
}

fn storm(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_storm");
    Command::new(program).args(arguments).output().unwrap()
}
