//! You will see the numbers of a failover as Prometheus text: two servers, one is taken away.
//!
//! ```sh
//! cargo run -p examples --example prometheus
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, HeldBy, Metrics};
use failover_core::failure::{Failure, Kind};
use tokio::net::TcpListener;
use transport_tcp::{Tcp, TokioClock};

/// Counters by name and labels: one series for each endpoint, and for each kind of its failures.
#[derive(Default)]
struct Prometheus(Mutex<BTreeMap<(&'static str, String), f64>>);

impl Prometheus {
    fn add(&self, name: &'static str, endpoint: &str, label: Option<(&str, &str)>, amount: f64) {
        // Names are the user's own words: escaped as the text format wants it.
        let endpoint = endpoint
            .replace('\\', r"\\")
            .replace('"', "\\\"")
            .replace('\n', r"\n");
        let mut labels = format!("endpoint=\"{endpoint}\"");
        if let Some((key, value)) = label {
            let _ = write!(labels, ",{key}=\"{value}\"");
        }
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *series.entry((name, labels)).or_default() += amount;
    }

    /// What a scrape gets.
    fn render(&self) -> String {
        let series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut text, mut last) = (String::new(), "");
        for ((name, labels), value) in &*series {
            if *name != last {
                let _ = writeln!(text, "# TYPE {name} counter");
                last = name;
            }
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
        text
    }
}

impl Metrics for Prometheus {
    fn dial_began(&self, endpoint: &str) {
        self.add("failover_dials_total", endpoint, None, 1.0);
    }

    fn dial_failed(&self, endpoint: &str, kind: Kind, _took: Duration) {
        let kind = Some(("kind", kind.as_str()));
        self.add("failover_dial_failures_total", endpoint, kind, 1.0);
    }

    fn dial_held(&self, endpoint: &str, by: HeldBy) {
        let by = Some(("by", by.as_str()));
        self.add("failover_dials_held_total", endpoint, by, 1.0);
    }

    fn connected(&self, endpoint: &str) {
        self.add("failover_connections_total", endpoint, None, 1.0);
    }

    fn lost(&self, endpoint: &str, kind: Kind, _lived: Duration) {
        let kind = Some(("kind", kind.as_str()));
        self.add("failover_losses_total", endpoint, kind, 1.0);
    }

    fn waits(&self, endpoint: &str, wait: Duration) {
        let seconds = wait.as_secs_f64();
        self.add("failover_wait_seconds_total", endpoint, None, seconds);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let first = TcpListener::bind("127.0.0.1:0").await?;
    let second = TcpListener::bind("127.0.0.1:0").await?;
    let url = |port: u16| format!("tcp://127.0.0.1:{port}");
    let metrics = Arc::new(Prometheus::default());
    let mut connector = Connector::builder(Tcp::new(), TokioClock::new())
        .endpoint(Endpoint::parse(&url(first.local_addr()?.port()))?)
        .endpoint(Endpoint::parse(&url(second.local_addr()?.port()))?)
        .metrics(metrics.clone())
        .build()?;

    let link = connector.connect().await?;
    let lost = link.target().url().port();
    // Whichever it is connected to is taken away.
    let _stays = match lost == Some(first.local_addr()?.port()) {
        true => (drop(first), second).1,
        false => (drop(second), first).1,
    };
    connector.lost(link.id(), Failure::new(Kind::Closed));
    connector.connect().await?;
    std::io::stdout().write_all(metrics.render().as_bytes())?;
    Ok(())
}
