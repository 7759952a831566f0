//! Medians, and lines of the table.

use std::time::Duration;

pub(crate) const HEAD: &str = "\
| what | ours | async-nats | bare sockets | goal | |
|---|---|---|---|---|---|";

/// A goal and whether it is reached.
pub(crate) fn goal(words: &str, is_met: bool) -> (String, &'static str) {
    (words.to_string(), if is_met { "met" } else { "**missed**" })
}

pub(crate) fn row(what: &str, figures: [&str; 3], goal: Option<(String, &str)>) {
    let [ours, theirs, bare] = figures;
    let (words, verdict) = goal.unwrap_or_default();
    println!("| {what} | {ours} | {theirs} | {bare} | {words} | {verdict} |");
}

/// What share of the figures is at most this one; in order.
pub(crate) fn percentile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len() as f64).ceil() as usize;
    let at = at.saturating_sub(1);
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    percentile(figures, 0.5)
}

pub(crate) fn most(figures: &[f64]) -> f64 {
    percentile(figures, 1.0)
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
