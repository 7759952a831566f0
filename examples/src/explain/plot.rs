//! A policy's delays as a picture: what most clients wait before each attempt.

use plotters::prelude::*;

use super::measure::{Measured, Spread};
use crate::picture::{COLOURS, Unplotted, unplotted};

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 620;

/// The delay before each attempt, for plain servers above and TLS below, as SVG: the median as a line,
/// between the 5th and the 95th percentile a bar. Up to a millisecond is none; above, powers of ten.
pub(super) fn fan(name: &str, plain: &Measured, tls: &Measured) -> Result<String, Unplotted> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE).map_err(unplotted)?;
        let title = format!(
            "{name}: the delay before each attempt after a loss, all servers away; median (line), 5 to 95 % (bar)"
        );
        let body = root.titled(&title, ("sans-serif", 16)).map_err(unplotted)?;
        let delays = plain.delays.iter().chain(&tls.delays);
        let most = delays.map(|spread| log(spread.high)).fold(1.0, f64::max) * 1.05;
        let halves = body.split_evenly((2, 1));
        for (area, (kind, measured)) in halves.iter().zip([("plain", plain), ("TLS", tls)]) {
            chart(area, kind, &measured.delays, most)?;
        }
        root.present().map_err(unplotted)?;
    }
    Ok(text)
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    kind: &str,
    delays: &[Spread],
    most: f64,
) -> Result<(), Unplotted> {
    let last = u32::try_from(delays.len().max(2)).unwrap_or(u32::MAX);
    let mut chart = ChartBuilder::on(area)
        .caption(kind, ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(70)
        .build_cartesian_2d(0.4..f64::from(last) + 0.6, 0.0..most)
        .map_err(unplotted)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE.mix(0.0))
        .x_desc("attempt")
        .x_labels(20)
        .y_labels(6)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| words(*y))
        .label_style(("sans-serif", 12))
        .draw()
        .map_err(unplotted)?;
    let blue = COLOURS[0];
    let place = |number: usize| f64::from(u32::try_from(number + 1).unwrap_or(0));
    let bars = delays.iter().enumerate().map(|(number, spread)| {
        let (low, high) = (log(spread.low), log(spread.high));
        let corners = [(place(number) - 0.3, low), (place(number) + 0.3, high)];
        Rectangle::new(corners, blue.mix(0.3).filled())
    });
    chart.draw_series(bars).map_err(unplotted)?;
    let medians = delays.iter().enumerate().map(|(number, spread)| {
        let at = log(spread.median);
        let ends = [(place(number) - 0.3, at), (place(number) + 0.3, at)];
        PathElement::new(ends, blue.stroke_width(2))
    });
    chart.draw_series(medians).map_err(unplotted)?;
    Ok(())
}

/// Zero for up to a millisecond.
fn log(delay: std::time::Duration) -> f64 {
    (delay.as_secs_f64() * 1e3).max(1.0).log10()
}

fn words(log: f64) -> String {
    match 10_f64.powf(log) {
        ms if ms < 1.5 => "≤ 1 ms".to_string(),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}
