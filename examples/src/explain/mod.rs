//! A policy in words: what it does, how long it waits, when it gives up, and what is risky in it.
//!
//! The figures are not computed from the policy's text: they are measured on the real machine, by
//! many clients in a world in which every server is away.

mod link_words;
mod measure;
mod plot;
mod risks;
mod words;

use std::fmt::{self, Write as _};
use std::time::Duration;

use failover_core::policy::Policy;
use failover_core::preset::Preset;
use serde_json::{Value, json};

pub use self::measure::{Measured, Spread};
pub use self::risks::{Risk, risks};
pub use self::words::print_jitter;
use crate::picture::Unplotted;
use crate::timeline::{Table, millis, short};

/// A policy, explained.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// Its name, or that of its preset.
    pub name: String,
    /// What it does, a sentence each.
    pub words: Vec<String>,
    /// What it wants of the link, a sentence each.
    pub link: Vec<String>,
    /// How many endpoints were away.
    pub endpoints: usize,
    /// Measured where all endpoints are plain.
    pub plain: Measured,
    /// Measured where all endpoints are TLS.
    pub tls: Measured,
    /// What is risky.
    pub risks: Vec<Risk>,
}

/// Explains a policy for a client of this many endpoints.
#[must_use]
pub fn explain(name: &str, preset: &Preset, endpoints: usize) -> Explained {
    use failover_core::endpoint::Security;
    let policy: &Policy = &preset.policy;
    let plain = measure::measure(policy, endpoints, Security::Plain);
    Explained {
        name: name.to_string(),
        words: words::policy(policy),
        link: link_words::link(&preset.link),
        endpoints,
        risks: risks(preset, &plain, endpoints),
        plain,
        tls: measure::measure(policy, endpoints, Security::Tls),
    }
}

/// A policy in words, a sentence for each of its parts.
pub(crate) fn words(policy: &Policy) -> Vec<String> {
    words::policy(policy)
}

impl Explained {
    /// Its delays as a picture (SVG): the median and the middle nine tenths before each attempt.
    ///
    /// # Errors
    /// The drawing library's, in words.
    pub fn plot(&self) -> Result<String, Unplotted> {
        plot::fan(&self.name, &self.plain, &self.tls)
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let risks = self.risks.iter();
        json!({
            "policy": self.name,
            "words": self.words,
            "link": self.link,
            "endpoints": self.endpoints,
            "plain": measured_json(&self.plain),
            "tls": measured_json(&self.tls),
            "risks": risks
                .map(|risk| json!({"risk": risk.name, "what": risk.what}))
                .collect::<Vec<_>>(),
        })
    }
}

fn spread_json(spread: &Spread) -> Value {
    json!({
        "min_ms": millis(spread.least),
        "median_ms": millis(spread.median),
        "max_ms": millis(spread.most),
    })
}

fn measured_json(measured: &Measured) -> Value {
    let end = |end: &Option<Spread>| end.as_ref().map_or(Value::Null, spread_json);
    json!({
        "clients": measure::CLIENTS,
        "delays": measured.delays.iter().map(spread_json).collect::<Vec<_>>(),
        "since_loss": measured.since_loss.iter().map(spread_json).collect::<Vec<_>>(),
        "gives_up_after_refusals": end(&measured.gives_up_refused),
        "gives_up_after_silence": end(&measured.gives_up_mute),
        "start_up_gives_up_after_refusals": end(&measured.start_up_gives_up),
    })
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Policy {}\n", self.name)?;
        for sentence in &self.words {
            writeln!(f, "  {sentence}")?;
        }
        if !self.link.is_empty() {
            writeln!(
                f,
                "\nOver the connection, for a client that uses `messaging`\n"
            )?;
            for sentence in &self.link {
                writeln!(f, "  {sentence}")?;
            }
        }
        let endpoints = match self.endpoints {
            1 => "1 endpoint, which is down".to_string(),
            several => format!("{several} endpoints, all down"),
        };
        writeln!(
            f,
            "\nThe delay before each attempt after a loss, {endpoints}; of {} clients\n",
            measure::CLIENTS
        )?;
        write!(f, "{}", self.table())?;
        let mut ends = String::new();
        for (name, end) in [
            ("every server is down", &self.plain.gives_up_refused),
            ("every server is mute", &self.plain.gives_up_mute),
            (
                "at start-up every server is down",
                &self.plain.start_up_gives_up,
            ),
        ] {
            let _ = match end {
                None if self.risks.iter().any(|risk| risk.name == "ends") => {
                    writeln!(ends, "  {name}: never, or later than was watched")
                }
                None => writeln!(ends, "  {name}: never"),
                Some(spread) => writeln!(ends, "  {name}: after {}", range(spread)),
            };
        }
        write!(f, "\nIt gives up\n\n{ends}")?;
        if self.risks.is_empty() {
            return write!(f, "\nNothing in it is known to be risky.");
        }
        write!(f, "\nRisks\n")?;
        for risk in &self.risks {
            write!(f, "\n  {}: {}", risk.name, risk.what)?;
        }
        Ok(())
    }
}

impl Explained {
    fn table(&self) -> Table {
        let mut table = Table::new([
            "attempt",
            "plain: min",
            "median",
            "max",
            "TLS: min",
            "median",
            "max",
            "since the loss (plain, median)",
        ]);
        for number in 0..self.plain.delays.len().max(self.tls.delays.len()) {
            let cells = |spreads: &[Spread]| match spreads.get(number) {
                Some(spread) => [
                    short(spread.least),
                    short(spread.median),
                    short(spread.most),
                ],
                None => ["-"; 3].map(str::to_string),
            };
            let [least, median, most] = cells(&self.plain.delays);
            let [tls_least, tls_median, tls_most] = cells(&self.tls.delays);
            let since = self.plain.since_loss.get(number);
            table.row([
                (number + 1).to_string(),
                least,
                median,
                most,
                tls_least,
                tls_median,
                tls_most,
                since.map_or("-".to_string(), |spread| short(spread.median)),
            ]);
        }
        table
    }
}

fn range(spread: &Spread) -> String {
    if spread.least == spread.most {
        return long(spread.median);
    }
    format!(
        "{} ({} to {})",
        long(spread.median),
        long(spread.least),
        long(spread.most)
    )
}

/// A duration as people read it, up to days.
fn long(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..600 => short(duration),
        600..172_800 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}
