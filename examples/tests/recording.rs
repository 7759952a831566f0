//! The flight recorder as an operator meets it: a record is made by `demo` and `cat`, played again by
//! `simulate --replay`, and refused where it was cut or edited. `recordings/` has two that are kept:
//! they must be read, and played again the same, by every version.
//!
//! `FAILOVER_GOLDEN=write cargo test -p examples --test recording` writes the second one anew.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use examples::recording;
use examples::timeline::Style;
use failover_core::directory::Endpoint;
use failover_core::drive::{Clock, Connector, Loss, Recorder, Recording, SharedHealth};
use failover_core::failure::{Failure, Kind};
use failover_core::machine::Verdict;
use failover_core::policy::{
    Backoff, CustomDelay, DelayAnswer, DelayAsked, DelayHook, Jitter, On, Order, Pace, Policy,
    Reaction, Reactions, Seed, Walk,
};
use failover_core::testing::{Script, Step};
use failover_core::time::Time;
use serde_json::Value;

#[test]
fn the_replay_of_the_demo_tells_what_the_demo_told() {
    let file = scratch("demo.jsonl");
    let demo = failover(&["demo", "--json", "--seed", "7", "--record", path(&file)]);
    assert_eq!(demo.status.code(), Some(0), "{demo:?}");
    let replay = failover(&["simulate", "--replay", path(&file), "--trace", "-"]);
    assert_eq!(replay.status.code(), Some(0), "{replay:?}");
    let (live, again) = (lines(&demo), lines(&replay));
    assert_eq!(again.last().unwrap()["decides_the_same"], true);
    let told = told(&live);
    assert!(told.len() > 20, "{told:?}");
    assert_eq!(told, self::told(&again));
    assert!(
        again
            .iter()
            .any(|line| line["event"] == "wait" && line["because"] == "pace")
    );
}

#[test]
fn cat_writes_its_record_also_when_it_gives_up_and_never_a_password() {
    let file = scratch("cat.jsonl");
    let cat = failover(&[
        "cat",
        "--wait",
        "5ms",
        "--start-sweeps",
        "3",
        "--record",
        path(&file),
        "ws://joe:hunter2@127.0.0.1:1/feed?token=hunter2",
        "tcp://127.0.0.1:1",
    ]);
    assert_eq!(cat.status.code(), Some(1), "{cat:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("ws://***@127.0.0.1:1/feed?***"), "{text}");
    let replay = failover(&["simulate", "--replay", path(&file)]);
    let said = String::from_utf8(replay.stdout).unwrap();
    assert_eq!(replay.status.code(), Some(0), "{said}");
    assert!(
        said.contains("at the end: over: every endpoint failed, 3 sweeps in a row"),
        "{said}"
    );
}

#[test]
#[cfg(unix)]
fn cat_writes_its_record_when_it_is_interrupted() {
    let file = scratch("interrupted.jsonl");
    let _ = fs::remove_file(&file);
    let mut cat = Command::new(env!("CARGO_BIN_EXE_failover"))
        .args([
            "cat",
            "-v",
            "--start-sweeps",
            "unlimited",
            "--record",
            path(&file),
            "tcp://127.0.0.1:1",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It has dialled once it says so.
    let mut said = String::new();
    BufReader::new(cat.stderr.as_mut().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert!(said.contains("dial failed"), "{said}");
    let kill = Command::new("kill")
        .args(["-INT", &cat.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(cat.wait().unwrap().code(), Some(1));
    let text = fs::read_to_string(&file).unwrap();
    let record = recording::read("it", text.as_bytes()).unwrap();
    assert!(record.entries().len() >= 2);
}

#[test]
fn what_is_refused_leaves_no_record() {
    let file = scratch("none.jsonl");
    let _ = fs::remove_file(&file);
    let cat = failover(&["cat", "--record", path(&file), "tcp://127.0.0.1:1/path"]);
    assert_eq!(cat.status.code(), Some(2));
    assert!(!file.exists());
    let nowhere = failover(&["demo", "--record", "/no/such/directory/demo.jsonl"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(nowhere.stdout.is_empty());
}

#[test]
fn a_record_that_was_cut_or_edited_or_is_of_another_version_is_refused_with_its_line() {
    let good = kept("demo.jsonl");
    let all: Vec<&str> = good.lines().collect();
    let half = &good[..good.len() / 2];
    let cut = format!("standard input:{}: ", half.lines().count());
    let ends = format!("standard input:{}: the record ends here", all.len());
    for (text, said) in [
        (half.to_string(), cut.as_str()),
        (all[..all.len() - 1].join("\n"), &ends),
        (
            good.replacen("\"version\":1", "\"version\":9", 1),
            "standard input:1: this is version 9 of the format",
        ),
        (
            good.replacen("\"failed\":", "\"fialed\":", 1),
            ": unknown variant `fialed`",
        ),
        (
            good.replacen("\"law\":\"exponential\"", "\"law\":\"exponental\"", 1),
            "standard input:1: ",
        ),
        (
            good.replacen("\"tls\":1", "\"tls\":1,\"tsl\":2", 1),
            "standard input:3: unknown key `tsl`: did you mean `tls`?",
        ),
        (String::new(), "standard input:1: the record ends here"),
        ("not a record".to_string(), "standard input:1: "),
    ] {
        let trace = scratch("refused.jsonl");
        let _ = fs::remove_file(&trace);
        let ran = fed(
            &["simulate", "--replay", "-", "--trace", path(&trace)],
            &text,
        );
        let error = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{error}");
        assert!(error.contains(said), "{error}");
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), "");
        assert!(!trace.exists());
    }
    let both = failover(&["simulate", "--replay", "-", "scenario.toml"]);
    assert_eq!(both.status.code(), Some(2));
    assert_eq!(failover(&["simulate"]).status.code(), Some(2));
}

#[test]
fn a_record_that_this_version_does_not_decide_the_same_is_told_to_its_end_with_exit_code_1() {
    let other_seed = kept("demo.jsonl").replacen("\"seed\":7", "\"seed\":8", 1);
    let ran = fed(&["simulate", "--replay", "-"], &other_seed);
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("  differs  ").count(), 1, "{said}");
    assert!(
        said.contains("this version would now say: dial failed ws"),
        "{said}"
    );
    assert!(said.contains("\nDIFFERS: from line "), "{said}");
    assert!(said.contains("closed by the user"), "{said}");
    let ran = fed(&["simulate", "--replay", "-", "--trace", "-"], &other_seed);
    assert_eq!(lines(&ran).last().unwrap()["decides_the_same"], false);
}

#[test]
fn kept_records_are_read_and_play_again_the_same() {
    for (name, dropped) in [
        ("demo.jsonl", false),
        ("everything.jsonl", false),
        ("checkpoint.jsonl", true),
    ] {
        let text = kept(name);
        let record = recording::read(name, text.as_bytes()).unwrap();
        assert_eq!(record.dropped() > 0, dropped, "{name}");
        let end = recording::play(&record, &mut |_| Ok::<(), Infallible>(())).unwrap();
        assert!(end.is_the_same(), "{name}: {end}");
        let mut again = Vec::new();
        recording::write(&record, &mut again).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), text, "{name}");
    }
}

#[test]
fn every_kind_of_news_has_its_words() {
    for (name, entries) in [("everything", 1_000), ("checkpoint", 16)] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let record = runtime.block_on(everything(Recorder::new(entries)));
        let mut text = Vec::new();
        recording::write(&record, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let told = timeline(&record);
        if std::env::var_os("FAILOVER_GOLDEN").is_some_and(|word| word == "write") {
            fs::write(recordings().join(format!("{name}.jsonl")), &text).unwrap();
            fs::write(recordings().join(format!("{name}.txt")), &told).unwrap();
        }
        assert_eq!(text, kept(&format!("{name}.jsonl")));
        assert_eq!(told, kept(&format!("{name}.txt")));
    }
}

/// One client, to which all happens that a recorder keeps.
async fn everything(recorder: Recorder) -> Recording {
    const SECOND: Duration = Duration::from_secs(1);
    let clock = Paused(tokio::time::Instant::now());
    let refused = Failure::new(Kind::Refused);
    let script = Script::new(clock)
        .host("a", [Step::Accept])
        .host("b", [Step::Fail(refused)])
        .host("c", [Step::FailAfter(SECOND / 5, refused), Step::Accept]);
    let health = SharedHealth::new(Arc::new(clock));
    let pace = Pace::new(Backoff::Constant(SECOND))
        .custom(CustomDelay::Bounded)
        .cap(4 * SECOND);
    let policy = Policy::builder()
        .order(Order::new(Walk::Listed))
        .pace(pace)
        .jitter(Jitter::Full)
        .reactions(Reactions::default().on(On::kind(Kind::Auth), Reaction::Suspend))
        .build()
        .unwrap();
    let named = |host: &str| {
        Endpoint::parse(&format!("tcp://{host}:1"))
            .unwrap()
            .named(host)
    };
    let mut calls = 0;
    let hook = DelayHook(move |_: &DelayAsked| {
        calls += 1;
        match calls {
            1 => DelayAnswer::Exactly(2 * SECOND),
            2 => DelayAnswer::PlusJitter(SECOND),
            _ => DelayAnswer::AsSuggested,
        }
    });
    let builder = || {
        Connector::builder(script.clone(), clock)
            .policy(policy.clone())
            .seed(Seed::new(5))
            .shared_health(&health)
    };
    let mut connector = builder()
        .endpoints([named("a"), named("b")])
        .hooks(hook)
        .recorder(recorder)
        .build()
        .unwrap();
    let handle = connector.handle();
    let link = connector.connect().await.unwrap();
    handle.add(named("c")).unwrap();
    handle.add(named("gone")).unwrap();
    handle.remove("gone").unwrap();
    handle.learn(link.id(), ["d:1"]);
    idle(&mut connector).await;
    handle.switch_off("c").unwrap();
    idle(&mut connector).await;
    handle.switch_on("c").unwrap();
    script.change("a", [Step::Fail(refused)]);
    connector.lost(
        link.id(),
        Loss::from(Failure::new(Kind::Auth)).verdict(Verdict::Next),
    );
    let _ = tokio::time::timeout(3 * SECOND, connector.connect()).await;
    // Another client finds that b is bad.
    script.change("b", [Step::Fail(Failure::new(Kind::Auth))]);
    let mut other = builder()
        .endpoint(named("b"))
        .hooks(DelayHook(|_: &DelayAsked| DelayAnswer::AsSuggested))
        .build()
        .unwrap();
    let _ = tokio::time::timeout(SECOND / 10, other.connect()).await;
    let _ = tokio::time::timeout(SECOND / 2, connector.connect()).await;
    handle.pause();
    let _ = tokio::time::timeout(SECOND, connector.connect()).await;
    handle.resume();
    script.change("a", [Step::Accept]);
    let link = connector.connect().await.unwrap();
    handle.reconnect_to("c");
    idle(&mut connector).await;
    let _ = tokio::time::timeout(SECOND, connector.connect()).await;
    handle.reconnect_other();
    handle.drain();
    idle(&mut connector).await;
    drop(link);
    connector.close();
    handle.recording().unwrap()
}

/// A second in which the session has nothing to say.
async fn idle(connector: &mut Connector<Script<Paused>, Paused>) {
    let _ = tokio::time::timeout(Duration::from_secs(1), connector.hung_up()).await;
}

/// Tokio's clock, which the test pauses.
#[derive(Clone, Copy)]
struct Paused(tokio::time::Instant);

impl Clock for Paused {
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    fn sleep_until(&self, at: Time) -> Self::Sleep {
        tokio::time::sleep_until(self.0 + at.since(Time::ZERO))
    }
}

fn timeline(record: &Recording) -> String {
    let mut text = recording::heading(record) + "\n\n";
    let end = recording::play(record, &mut |told| {
        text.extend(told.text(Style::Plain).map(|line| line + "\n"));
        // As an object for programs, each has its time and name.
        assert!(told.json()["at_ms"].is_number() && told.json()["event"].is_string());
        Ok::<(), Infallible>(())
    });
    text + &format!("\n{}\n", end.unwrap())
}

/// What the connector and the machine tell alike: when, what, whom.
fn told(lines: &[Value]) -> Vec<String> {
    let alike = [
        "attempt",
        "connected",
        "reconnected",
        "failed-over",
        "disconnected",
        "closed",
    ];
    let alike = lines
        .iter()
        .filter(|line| alike.iter().any(|event| line["event"] == *event));
    alike
        .map(|line| {
            format!(
                "{} {} {} {} {}",
                line["at_ms"],
                line["event"],
                line["endpoint"],
                line["next"]["wait_ms"],
                line["next"]["endpoint"]
            )
        })
        .collect()
}

fn lines(ran: &Output) -> Vec<Value> {
    let text = String::from_utf8(ran.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn failover(arguments: &[&str]) -> Output {
    fed(arguments, "")
}

fn fed(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_failover"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A child that reads no input is gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

fn kept(name: &str) -> String {
    fs::read_to_string(recordings().join(name)).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recording");
    fs::create_dir_all(&directory).unwrap();
    directory.join(name)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
