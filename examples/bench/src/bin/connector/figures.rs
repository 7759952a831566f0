//! Medians, and the table.

use std::fmt;
use std::time::Duration;

/// What was measured, line by line.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) ours: String,
    pub(crate) beside: String,
    pub(crate) goal: Option<Goal>,
}

/// A figure that shall be no greater than its goal.
pub(crate) struct Goal {
    pub(crate) figure: f64,
    pub(crate) at_most: f64,
    pub(crate) unit: &'static str,
}

impl Table {
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | connector | beside | figure | goal | |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            write!(f, "| {} | {} | {} |", row.what, row.ours, row.beside)?;
            match &row.goal {
                None => writeln!(f, " | | |")?,
                Some(goal) => {
                    let met = if goal.figure <= goal.at_most {
                        "met"
                    } else {
                        "**missed**"
                    };
                    let Goal {
                        figure,
                        at_most,
                        unit,
                    } = goal;
                    writeln!(f, " {figure:.3}{unit} | ≤ {at_most}{unit} | {met} |")?;
                }
            }
        }
        Ok(())
    }
}

/// The middle one. Not a number if there is none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Rests until the next repetition: longer than the least time between two dials of one server, which
/// is no part of what is measured, and with a fresh share of a CPU that others want, too.
pub(crate) async fn rest() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// Pairs of the same repetition, ours first, in microseconds: both medians, and that of the ratios.
pub(crate) fn compare(pairs: &[(f64, f64)]) -> (f64, f64, f64) {
    (
        median(pairs.iter().map(|pair| pair.0).collect()),
        median(pairs.iter().map(|pair| pair.1).collect()),
        median(pairs.iter().map(|pair| pair.0 / pair.1).collect()),
    )
}
