//! Every scenario that is shipped, played and compared with its trace in `scenarios/traces`; and
//! what is said of scenarios that make no sense.
//!
//! `FAILOVER_GOLDEN=write cargo test -p examples --test scenarios` writes the traces anew.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use examples::scenario::Scenario;
use examples::simulate;
use failover_core::policy::Ratio;
use failover_core::sim::Part;

#[test]
fn every_shipped_scenario_gives_the_trace_that_is_kept() {
    let mut different = Vec::new();
    for path in shipped() {
        let lines = lines(&parsed(&path));
        let kept = kept(&path);
        if std::env::var_os("FAILOVER_GOLDEN").is_some_and(|word| word == "write") {
            fs::create_dir_all(kept.parent().unwrap()).unwrap();
            fs::write(&kept, lines.join("\n") + "\n").unwrap();
            continue;
        }
        let before = fs::read_to_string(&kept).unwrap_or_default();
        let before: Vec<&str> = before.lines().collect();
        if before != lines {
            let at = lines.iter().zip(&before).position(|(a, b)| a != b);
            let at = at.unwrap_or(before.len().min(lines.len()));
            different.push(format!(
                "{}:{}\n  kept {}\n  now  {}",
                kept.display(),
                at + 1,
                before.get(at).unwrap_or(&"nothing"),
                lines.get(at).map_or("nothing", String::as_str),
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{}\nif this is right: FAILOVER_GOLDEN=write cargo test -p examples --test scenarios",
        different.join("\n")
    );
}

#[test]
fn there_is_one_for_each_source_system_and_a_dozen_in_all() {
    let names: Vec<String> = shipped().iter().map(|path| stem(path)).collect();
    assert!(names.len() >= 12, "{names:?}");
    for system in ["stompit", "activemq", "nats", "diffusion", "synapse"] {
        assert!(
            names.iter().any(|name| name.starts_with(system)),
            "{system}"
        );
    }
}

#[test]
fn the_example_of_the_reference_is_a_scenario() {
    let page = include_str!("../../docs/scenario.md");
    let example = page.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let scenario = Scenario::parse("docs/scenario.md", example).unwrap();
    assert_eq!(simulate::check(&scenario, 0), Ok(()));
}

#[test]
fn every_law_holds_in_every_shipped_scenario() {
    for path in shipped() {
        let scenario = parsed(&path);
        assert_eq!(simulate::check(&scenario, 0), Ok(()), "{}", path.display());
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_another() {
    let mut scenario = parsed(&shipped_as("nats"));
    let once = lines(&scenario);
    assert_eq!(once, lines(&scenario));
    scenario.seed = failover_core::policy::Seed::new(99);
    assert_ne!(once, lines(&scenario));
}

#[test]
fn the_clients_of_a_herd_neither_get_lost_nor_share_their_draws() {
    let scenario = parsed(&shipped_as("herd"));
    let Ok(summary) = simulate::play(&scenario, &mut |_| Ok::<(), Infallible>(()));
    assert_eq!((summary.connected, summary.closed), (1000, 0));
    let one = simulate::trace(&scenario, 1);
    let two = simulate::trace(&scenario, 2);
    assert_ne!(one.seed, two.seed);
}

#[test]
fn a_full_server_refuses_and_a_busy_one_lets_wait() {
    let text = "
        version = 1
        clients = 3
        until = \"10s\"
        [[endpoints]]
        url = \"tcp://a:1\"
        [servers.\"a:1\"]
        connections = 2
        work = \"1s\"
    ";
    let scenario = Scenario::parse("full", text).unwrap();
    let all: Vec<String> = every_line(&scenario);
    let connected = |line: &&String| line.contains("\"event\":\"connected\"");
    let at: Vec<&String> = all.iter().filter(connected).collect();
    assert_eq!(at.len(), 2);
    assert!(at[0].contains("\"at_ms\":1000.0") && at[1].contains("\"at_ms\":2000.0"));
    assert!(
        all.iter()
            .any(|line| line.contains("\"reason\":\"refused in login\""))
    );
}

#[test]
fn a_part_of_the_clients_is_cut_off_from_a_server_that_the_others_reach() {
    let text = "
        version = 1
        clients = 1000
        until = \"40s\"
        [[endpoints]]
        url = \"tcp://a:1\"
        [[world]]
        from = \"10s\"
        to = \"20s\"
        does = \"mute\"
        clients = \"30%\"
        noticed_after = \"2s\"
    ";
    let scenario = Scenario::parse("part", text).unwrap();
    let all = every_line(&scenario);
    let lost: Vec<&String> = all.iter().filter(|l| l.contains("disconnected")).collect();
    assert!((299..=301).contains(&lost.len()), "{}", lost.len());
    for line in lost {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["at_ms"], 12_000.0);
        assert_eq!(line["kind"], "stale");
        let client = usize::try_from(line["client"].as_u64().unwrap()).unwrap();
        let part = Part::first(Ratio::from_ppm(300_000));
        assert!(part.has(client));
    }
    let Ok(summary) = simulate::play(&scenario, &mut |_| Ok::<(), Infallible>(()));
    assert_eq!(summary.connected, 1000, "all are back at the end");

    // The only client of a scenario belongs to every part.
    let mut alone = scenario.clone();
    alone.clients = 1;
    let told = lines(&alone).join("\n");
    assert!(
        told.contains("\"does\":\"mute to 30% of the clients\""),
        "{told}"
    );
    assert!(told.contains("\"event\":\"disconnected\""), "{told}");
    assert_eq!(simulate::check(&alone, 0), Ok(()));
}

/// What makes no sense, and what is said of it.
const SENSELESS: [(&str, &str, &str); 28] = [
    (
        "",
        "[servers.a]\nconnections = 0",
        "t:8: servers.connections: a server that holds no connection is one that refuses",
    ),
    (
        "",
        "version = 2",
        "2: version: this file has `version = 2`, this program reads `version = 1`",
    ),
    (
        "",
        "clients = 0",
        "clients: 0 is not between 1 and 4294967295",
    ),
    (
        "",
        "clinets = 2",
        "unknown key `clinets`: did you mean `clients`?",
    ),
    ("", "clinets = 2", "did you mean `clients`?"),
    (
        "",
        "[policy]\npreset = \"nuts\"",
        "t:8: policy.preset: there is no `nuts` here: did you mean `nats`?",
    ),
    (
        "",
        "[policy]\ndeadline = \"5\"",
        "t:8: policy.deadline: `5` is not a duration",
    ),
    (
        "",
        "[policy]\npace = { cup = \"5s\" }",
        "did you mean `cap`?",
    ),
    ("", "[policy]\npace = { min = \"9s\" }", "policy: "),
    (
        "",
        "[[world]]\nendpoint = \"aa\"\nfrom = \"1s\"\ndoes = \"mute\"",
        "no endpoint is called \"aa\" (did you mean \"a\"?)",
    ),
    (
        "",
        "[[world]]\nfrom = \"1s\"\ndoes = \"mtue\"",
        "did you mean \"mute\"?",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\nto = \"1s\"\ndoes = \"mute\"",
        "t:9: world.to: times are out of order",
    ),
    (
        "",
        "[[world]]\nat = \"2s\"\ndoes = \"mute\"",
        "world.at: \"mute\" has no such key",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\ndoes = \"accept-and-drop\"",
        "world.lives: \"accept-and-drop\" needs it",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\ndoes = \"reject\"",
        "\"reject\" needs a kind, or a numeric code",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\ndoes = \"reject\"\nkind = \"autth\"",
        "did you mean \"auth\"?",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\ndoes = \"mute\"\nclients = \"30\"",
        "t:10: world.clients: \"30\" is no part of the clients: write a percentage above 0 and up to 100",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\ndoes = \"mute\"\nclients = \"101%\"",
        "\"101%\" is no part of the clients",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\ndoes = \"mute\"\nclients = \"50%-30%\"",
        "\"50%-30%\" is no part of the clients",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\ndoes = \"mute\"\nclients = \"0%\"",
        "\"0%\" is no part of the clients",
    ),
    (
        "",
        "[[world]]\nendpoint = \"a\"\nfrom = \"2s\"\ndoes = \"mute\"\nclients = \"3%\"\nroute = 0",
        "world.clients: a part of the clients meets the same on every route",
    ),
    (
        "",
        "[[world]]\nfrom = \"2s\"\nto = \"3s\"\ndoes = \"lame-duck\"\nclients = \"3%\"",
        "world.clients: \"lame-duck\" has no such key",
    ),
    (
        "[[world]]\nfrom = \"5s\"\ndoes = \"mute\"\nclients = \"3%\"\n",
        "[[world]]\nfrom = \"6s\"\ndoes = \"refuse\"\nclients = \"4%\"",
        "the world contradicts itself: what a does in line 7 lasts until never",
    ),
    (
        "[[world]]\nfrom = \"5s\"\ndoes = \"mute\"\n",
        "[[world]]\nfrom = \"6s\"\ndoes = \"refuse\"",
        "the world contradicts itself: what a does in line 7 lasts until never",
    ),
    (
        "[[world]]\nfrom = \"5s\"\nto = \"6s\"\ndoes = \"mute\"\n",
        "[[world]]\nfrom = \"2s\"\nto = \"3s\"\ndoes = \"refuse\"",
        "times are out of order: a did something at 5s in line 7 already",
    ),
    (
        "[[command]]\nat = \"5s\"\ndo = \"pause\"\n",
        "[[command]]\nat = \"4s\"\ndo = \"close\"",
        "the command before it is at 5s, this one at 4s",
    ),
    (
        "",
        "[[command]]\nat = \"4s\"\ndo = \"off\"",
        "command.endpoint: \"off\" needs an endpoint",
    ),
    (
        "",
        "[[command]]\nat = \"4s\"\ndo = \"pause\"\nclient = 1",
        "there is one client, number 0",
    ),
];

#[test]
fn what_makes_no_sense_is_refused_with_its_line_and_key() {
    for (before, wrong, said) in SENSELESS {
        let table = wrong.starts_with('[');
        let version = if wrong.starts_with("version") {
            ""
        } else {
            "version = 1"
        };
        let (top, below) = if table { ("", wrong) } else { (wrong, "") };
        let text = format!(
            "{version}\n{top}\nuntil = \"10s\"\n[[endpoints]]\nname = \"a\"\nurl = \"tcp://a:1\"\n{before}{below}\n"
        );
        // Where the table follows the endpoint, its first line is the seventh.
        let error = Scenario::parse("t", &text).unwrap_err().to_string();
        assert!(
            error.starts_with("t:") && error.contains(said),
            "{text}\n{error}"
        );
    }
}

#[test]
fn a_url_of_an_endpoint_is_checked_and_its_password_is_not_told() {
    let text = |url: &str| format!("version = 1\nuntil = \"1s\"\n[[endpoints]]\nurl = \"{url}\"\n");
    let error = Scenario::parse("t", &text("tcp://a:70000")).unwrap_err();
    assert!(
        error.to_string().starts_with("t:4: endpoints.url: "),
        "{error}"
    );
    let scenario = Scenario::parse("t", &text("tcp://me:secret@a:1")).unwrap();
    let all = every_line(&scenario).join("\n") + &format!("{scenario:?}");
    assert!(!all.contains("secret"), "{all}");
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    paths.sort();
    paths
}

fn shipped_as(name: &str) -> PathBuf {
    let mut all = shipped().into_iter();
    all.find(|path| stem(path) == name).unwrap()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn kept(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap().join("traces");
    folder.join(stem(path)).with_extension("jsonl")
}

fn parsed(path: &Path) -> Scenario {
    let text = fs::read_to_string(path).unwrap();
    let name = path.display().to_string();
    Scenario::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"))
}

/// The trace of the first client, as `failover simulate --client 0 --trace -` writes it.
fn lines(scenario: &Scenario) -> Vec<String> {
    let mut lines = vec![simulate::header(scenario).to_string()];
    let Ok(summary) = simulate::play(scenario, &mut |line| {
        if line.client.is_none_or(|client| client == 0) {
            lines.push(line.json().to_string());
        }
        Ok::<(), Infallible>(())
    });
    lines.push(summary.json().to_string());
    lines
}

fn every_line(scenario: &Scenario) -> Vec<String> {
    let mut lines = Vec::new();
    let Ok(_) = simulate::play(scenario, &mut |line| {
        lines.push(line.json().to_string());
        Ok::<(), Infallible>(())
    });
    lines
}

#[test]
fn laws_that_hold_are_told_where_there_is_a_place_for_it() {
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/stompit.toml");
    let played = |more: &[&str]| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_failover"));
        let out = tool.args(["simulate", scenario, "--laws"]).args(more);
        let out = out.output().unwrap();
        assert_eq!(out.status.code(), Some(0));
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(played(&[]).ends_with("client 0: every law holds\n"));
    let lines = played(&["--trace", "-"]);
    assert!(lines.lines().all(|line| line.starts_with('{')), "{lines}");
}
