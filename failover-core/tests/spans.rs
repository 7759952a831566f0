//! What `tracing` is told of an outage.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use failover_core::directory::Endpoint;
use failover_core::drive::Connector;
use failover_core::failure::{Failure, Kind};
use failover_core::testing::Step;
use tracing_subscriber::fmt::MakeWriter;

use self::support::{SECOND, listed, script};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_a_span_and_the_same_failure_again_is_told_lower() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(lines.clone())
        .finish();
    let told = tracing::subscriber::set_default(subscriber);
    let refuse = [
        Step::Accept,
        Step::REFUSE,
        Step::REFUSE,
        Step::REFUSE,
        Step::Accept,
    ];
    let script = script().host("a", refuse);
    let mut connector = Connector::builder(script.clone(), script.clock())
        .endpoint(Endpoint::parse("tcp://user:secret@a:1").unwrap())
        .policy(listed().build().unwrap())
        .build()
        .unwrap();
    let link = connector.connect().await.unwrap();
    tokio::time::sleep(20 * SECOND).await;
    connector.lost(link.id(), Failure::new(Kind::Reset));
    connector.connect().await.unwrap();
    drop(told);

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let count = |words: &str| text.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count("INFO connected"), 1, "{text}");
    assert_eq!(count("WARN disconnected"), 1, "{text}");
    assert_eq!(count("INFO outage{lost=\"a:1\"}: dial failed"), 1, "{text}");
    assert_eq!(
        count("DEBUG outage{lost=\"a:1\"}: dial failed again"),
        2,
        "{text}"
    );
    assert_eq!(count("INFO outage{lost=\"a:1\"}: reconnected"), 1, "{text}");
    // Three in all: summed up at the second, and at the end.
    assert_eq!(count("times=2 within=1"), 1, "{text}");
    assert_eq!(count("times=3 within="), 1, "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_repeats_a_thousand_times_is_a_dozen_lines() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .without_time()
        .with_writer(lines.clone())
        .finish();
    let told = tracing::subscriber::set_default(subscriber);
    let script = script();
    let mut connector = Connector::builder(script.clone(), script.clock())
        .endpoint(Endpoint::parse("tcp://a:1").unwrap())
        .policy(listed().build().unwrap())
        .build()
        .unwrap();
    let connecting = tokio::time::timeout(1000 * SECOND, connector.connect());
    assert!(connecting.await.is_err());
    assert!(script.dials().len() > 900);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let count = text.lines().filter(|line| line.contains("INFO")).count();
    // The first, and one for each of 2, 4, ... 512.
    assert_eq!(count, 10, "{text}");
    connector.close();
    drop(told);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the same failure again"), "{text}");
}
