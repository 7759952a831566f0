//! Counters of all connectors, as Prometheus has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use failover_core::drive::{HeldBy, Metrics};
use failover_core::failure::Kind;

/// Counters by name and labels: of each server in the file, and of each kind of its failures.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Mutex<BTreeMap<Series, f64>>);

/// A counter's name, its server, and a label of its own.
type Series = (&'static str, String, Option<(&'static str, &'static str)>);

/// What the counters mean.
const HELP: [(&str, &str); 7] = [
    ("failover_connections_total", "Connections in use."),
    ("failover_dial_failures_total", "Dials that failed."),
    (
        "failover_dial_seconds_total",
        "Time of the dials that gave a connection.",
    ),
    (
        "failover_dials_held_total",
        "Dials that waited for a permit.",
    ),
    ("failover_dials_total", "Dials that began."),
    ("failover_losses_total", "Connections that broke."),
    (
        "failover_suspensions_total",
        "Rests that a failure brought.",
    ),
];

impl Numbers {
    fn add(
        &self,
        name: &'static str,
        endpoint: &str,
        label: Option<(&'static str, &'static str)>,
        amount: f64,
    ) {
        let series = (name, endpoint.to_string(), label);
        *self.locked().entry(series).or_default() += amount;
    }

    /// What this counter says of a server, over all labels.
    pub(crate) fn of(&self, name: &str, endpoint: &str) -> u64 {
        let series = self.locked();
        let its = series
            .iter()
            .filter(|((it, whose, _), _)| *it == name && whose == endpoint);
        its.map(|(_, value)| *value as u64).sum()
    }

    /// Forgets servers that are no more.
    pub(crate) fn keep(&self, is_known: impl Fn(&str) -> bool) {
        self.locked()
            .retain(|(_, endpoint, _), _| is_known(endpoint));
    }

    /// What a scrape gets.
    pub(crate) fn render(&self, text: &mut String) {
        let mut last = "";
        for ((name, endpoint, label), value) in &*self.locked() {
            if *name != last {
                let help = HELP.iter().find(|(it, _)| it == name);
                head(text, name, help.map_or("", |(_, help)| help));
                last = name;
            }
            let mut labels = vec![("endpoint", endpoint.as_str())];
            labels.extend(label);
            line(text, name, &labels, *value);
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<Series, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics for Numbers {
    fn dial_began(&self, endpoint: &str) {
        self.add("failover_dials_total", endpoint, None, 1.0);
    }

    fn dial_done(&self, endpoint: &str, took: Duration) {
        let seconds = took.as_secs_f64();
        self.add("failover_dial_seconds_total", endpoint, None, seconds);
    }

    fn dial_failed(&self, endpoint: &str, kind: Kind, _took: Duration) {
        // What a dial that nobody needs any more would have come to, nobody knows.
        if kind != Kind::Cancelled {
            let kind = Some(("kind", kind.as_str()));
            self.add("failover_dial_failures_total", endpoint, kind, 1.0);
        }
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

    fn suspended(&self, endpoint: &str) {
        self.add("failover_suspensions_total", endpoint, None, 1.0);
    }
}

/// The two lines before the values of a name. What is a total is a counter, all else a gauge.
pub(crate) fn head(text: &mut String, name: &str, help: &str) {
    let kind = match name.ends_with("_total") {
        true => "counter",
        false => "gauge",
    };
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One value. Labels are escaped as the text format wants it.
pub(crate) fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| {
            let value = value
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            format!("{key}=\"{value}\"")
        })
        .collect();
    let _ = match labels.is_empty() {
        true => writeln!(text, "{name} {value}"),
        false => writeln!(text, "{name}{{{}}} {value}", labels.join(",")),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_each_metric_has_one_head() {
        let numbers = Numbers::default();
        for endpoint in ["a", "\"b\\\n"] {
            numbers.dial_began(endpoint);
            numbers.dial_failed(endpoint, Kind::Refused, Duration::ZERO);
            numbers.dial_failed(endpoint, Kind::Cancelled, Duration::ZERO);
        }
        let mut text = String::new();
        numbers.render(&mut text);
        let told = "# HELP failover_dial_failures_total Dials that failed.\n\
            # TYPE failover_dial_failures_total counter\n\
            failover_dial_failures_total{endpoint=\"\\\"b\\\\\\n\",kind=\"refused\"} 1\n\
            failover_dial_failures_total{endpoint=\"a\",kind=\"refused\"} 1\n\
            # HELP failover_dials_total Dials that began.\n\
            # TYPE failover_dials_total counter\n\
            failover_dials_total{endpoint=\"\\\"b\\\\\\n\"} 1\n\
            failover_dials_total{endpoint=\"a\"} 1\n";
        assert_eq!(text, told);
        assert_eq!(numbers.of("failover_dials_total", "a"), 1);
        numbers.keep(|endpoint| endpoint == "a");
        assert_eq!(numbers.of("failover_dials_total", "\"b\\\n"), 0);
    }
}
