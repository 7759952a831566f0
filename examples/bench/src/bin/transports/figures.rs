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
    pub(crate) figure: f64,
    pub(crate) goal: Option<Goal>,
}

#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Table {
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Times of the same turn, ours first: both medians, and that of the ratios.
    pub(crate) fn compare(
        &mut self,
        what: impl Into<String>,
        pairs: &[(Duration, Duration)],
        beside: &str,
        goal: Option<Goal>,
    ) {
        let micros = |time: &Duration| time.as_secs_f64() * 1e6;
        let ours = median(pairs.iter().map(|(ours, _)| micros(ours)).collect());
        let theirs = median(pairs.iter().map(|(_, theirs)| micros(theirs)).collect());
        let ratios = pairs
            .iter()
            .map(|(ours, theirs)| micros(ours) / micros(theirs));
        self.row(Row {
            what: what.into(),
            ours: format!("{ours:.1} µs"),
            beside: format!("{theirs:.1} µs {beside}"),
            figure: median(ratios.collect()),
            goal,
        });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | ours | beside | figure | goal | |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let Row {
                what,
                ours,
                beside,
                figure,
                goal,
            } = row;
            write!(f, "| {what} | {ours} | {beside} | {figure:.3} |")?;
            match goal {
                None => writeln!(f, " | |")?,
                Some(Goal::AtMost(most)) => writeln!(f, " ≤ {most} | {} |", met(figure <= most))?,
                Some(Goal::AtLeast(least)) => {
                    writeln!(f, " ≥ {least} | {} |", met(figure >= least))?
                }
            }
        }
        Ok(())
    }
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

/// The middle one. Not a number if there is none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
