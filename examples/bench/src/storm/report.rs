//! The table of a storm, and what was aimed at.

use std::fmt::Write as _;
use std::time::Duration;

use examples::timeline::{Table, short};

use super::{Figures, Over};

/// One kind of clients: the medians of its rounds.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who.
    pub who: String,
    /// Its rounds.
    pub rounds: Vec<Figures>,
}

impl Row {
    fn each(&self, count: impl Fn(&Figures) -> u64) -> f64 {
        let clients = |f: &Figures| f.run.clients.max(1) as f64;
        self.median(|f| count(f) as f64 / clients(f))
    }

    fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    /// A time that may be missing in some rounds: then it is missing.
    fn time(&self, figure: impl Fn(&Figures) -> Option<Duration>) -> String {
        let times: Option<Vec<f64>> = self
            .rounds
            .iter()
            .map(|f| figure(f).map(|d| d.as_secs_f64()))
            .collect();
        times.map_or("never".to_string(), |times| {
            short(Duration::from_secs_f64(median(times).max(0.0)))
        })
    }

    fn duration(&self, figure: impl Fn(&Figures) -> Duration) -> String {
        self.time(|f| Some(figure(f)))
    }

    /// Whether all came back, in every round.
    #[must_use]
    pub fn recovered(&self) -> bool {
        let all = |f: &Figures| f.connected == f.run.clients;
        self.rounds.iter().all(all)
    }
}

/// The measurements, each with what the simulator said of it.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new([
        "clients",
        "50 % back",
        "90 %",
        "all",
        "simulated",
        "peak accepts/100 ms",
        "simulated",
        "dials each",
        "simulated",
        "refused",
        "failed otherwise",
        "clients' process busy",
        "CPU while away",
        "until all back",
        "KiB each",
    ]);
    for row in rows {
        table.row([
            row.who.clone(),
            row.time(|f| f.back[0]),
            row.time(|f| f.back[1]),
            row.time(|f| f.back[3]),
            row.time(|f| f.predicted.back[3]),
            format!("{:.0}", row.median(|f| f.peak_accepts as f64)),
            format!("{:.0}", row.median(|f| f.predicted.peak as f64)),
            format!("{:.2}", row.each(|f| f.dials)),
            format!("{:.2}", row.each(|f| f.predicted.dials)),
            format!("{:.0}", row.median(|f| f.refused as f64)),
            format!("{:.0}", row.median(|f| f.failed as f64)),
            format!("{:.0} %", 100.0 * row.median(|f| f.busy)),
            row.duration(|f| f.cpu_down),
            row.duration(|f| f.cpu),
            format!("{:.1}", row.median(|f| f.memory as f64 / 1024.0)),
        ]);
    }
    table.to_string()
}

/// What was aimed at with TLS: our default beside full jitter of the same cap, round by round.
/// Nothing where one of them is missing or did not come back.
#[must_use]
pub fn goals(rows: &[Row]) -> Option<String> {
    let find = |who| rows.iter().find(|row: &&Row| row.who == who);
    let (ours, full) = (find("ours")?, find("full-jitter")?);
    let last = |f: &Figures| f.back[3].map_or(f64::NAN, |back| back.as_secs_f64());
    type Goal<'a> = (&'a str, f64, &'a dyn Fn(&Figures) -> f64);
    let lines: [Goal<'_>; 3] = [
        ("time until all are back", 0.65, &last),
        ("peak of accepts", 0.75, &|f| f.peak_accepts as f64),
        ("dials", 0.55, &|f| f.dials as f64),
    ];
    let said = |f: &Figures| f.run.over == Over::Tls && f.connected == f.run.clients;
    if !ours.rounds.iter().chain(&full.rounds).all(said) {
        return None;
    }
    let mut text = String::from("ours over full jitter of the same cap, median of the rounds:\n");
    for (what, goal, figure) in lines {
        let pairs = ours.rounds.iter().zip(&full.rounds);
        let ratio = median(
            pairs
                .map(|(a, b)| figure(a) / figure(b).max(1e-9))
                .collect(),
        );
        let verdict = if ratio <= goal { "reached" } else { "MISSED" };
        let _ = writeln!(
            text,
            "  {what:<24} {ratio:.2}   (goal {goal:.2}: {verdict})"
        );
    }
    Some(text)
}

/// The one in the middle; the mean of the two in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}
