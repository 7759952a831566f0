//! The life of one client as a picture.

use failover_core::endpoint::EndpointId;
use failover_core::failure::Kind;
use failover_core::machine::{Event, Output, Status};
use failover_core::sim::Trace;
use failover_core::time::Time;
use plotters::prelude::*;

use crate::picture::{COLOURS, Unplotted, unplotted};
use crate::scenario::Scenario;

const WIDTH: u32 = 1200;
const ROW: u32 = 46;
const MARGINS: u32 = 110;
const CONNECTED: RGBColor = COLOURS[2];
const FAILED: RGBColor = COLOURS[1];
const DIALING: RGBColor = COLOURS[0];
const IDLE: RGBColor = RGBColor(225, 225, 225);
const OVER: RGBColor = COLOURS[7];

/// One client's life, a row for each endpoint: when it was connected there, each dial and how it
/// ended; below them a row for what the client did, grey while it waited. As SVG.
///
/// # Errors
/// The drawing library's, in words.
pub fn plot(scenario: &Scenario, client: usize) -> Result<String, Unplotted> {
    let trace = super::trace(scenario, client);
    let names = names(scenario, &trace);
    let rows = u32::try_from(names.len() + 1).unwrap_or(u32::MAX);
    let mut text = String::new();
    {
        let size = (WIDTH, MARGINS + ROW * rows);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).map_err(unplotted)?;
        let end = scenario.until.since(Time::ZERO).as_secs_f64();
        let title = match scenario.about.as_str() {
            "" => format!("client {client}"),
            about => format!("{about} (client {client})"),
        };
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 16))
            .margin(8)
            .margin_right(24)
            .x_label_area_size(34)
            .y_label_area_size(150)
            .build_cartesian_2d(0.0..end, 0.0..f64::from(rows))
            .map_err(unplotted)?;
        let label = |y: &f64| label(&names, *y);
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE.mix(0.0))
            .x_desc("seconds: green connected, blue a dial, orange one that failed, grey waiting, black gave up or closed")
            .x_labels(12)
            .y_labels(usize::try_from(rows * 2 + 1).unwrap_or(3))
            .y_label_formatter(&label)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .label_style(("sans-serif", 12))
            .draw()
            .map_err(unplotted)?;
        let bars = bars(&trace, scenario.until, rows);
        // Seen even where it took no time.
        let least = end / f64::from(WIDTH);
        let boxes = bars.iter().map(|bar| {
            let (from, to) = (
                seconds(bar.from),
                seconds(bar.to).max(seconds(bar.from) + least),
            );
            let low = f64::from(bar.row) + if bar.thin { 0.35 } else { 0.15 };
            let high = f64::from(bar.row) + if bar.thin { 0.65 } else { 0.85 };
            Rectangle::new([(from, low), (to, high)], bar.colour.filled())
        });
        chart.draw_series(boxes).map_err(unplotted)?;
        root.present().map_err(unplotted)?;
    }
    Ok(text)
}

struct Bar {
    row: u32,
    from: Time,
    to: Time,
    colour: RGBColor,
    thin: bool,
}

/// Connections and waits first, dials above them.
fn bars(trace: &Trace, until: Time, rows: u32) -> Vec<Bar> {
    let top = rows - 1;
    let row = |id: EndpointId| top.saturating_sub(id.number().min(top));
    let (mut wide, mut thin) = (Vec::new(), Vec::new());
    for (at, step) in trace.steps.iter().enumerate() {
        let to = trace.steps.get(at + 1).map_or(until, |next| next.at);
        let (place, colour) = match step.status {
            Status::Connected { link, .. } => (row(link.endpoint), CONNECTED),
            Status::Waiting { .. } | Status::Paused | Status::Starved => (0, IDLE),
            Status::Dialing { .. } => (0, DIALING),
            Status::Closed(_) => (0, OVER),
            Status::Idle | _ => continue,
        };
        wide.push(Bar {
            row: place,
            from: step.at,
            to,
            colour,
            thin: colour == OVER,
        });
        for output in &step.outputs {
            let Output::Event(Event::Attempt(ended)) = output else {
                continue;
            };
            let colour = match ended.outcome.map_err(|failure| failure.kind) {
                Ok(()) | Err(Kind::Cancelled) => DIALING,
                Err(_) => FAILED,
            };
            let began = step.at.since(Time::ZERO).saturating_sub(ended.took);
            thin.push(Bar {
                row: row(ended.order.endpoint),
                from: Time::ZERO + began,
                to: step.at,
                colour,
                thin: true,
            });
        }
    }
    wide.append(&mut thin);
    wide
}

/// The endpoints in the order in which this client learned of them.
fn names(scenario: &Scenario, trace: &Trace) -> Vec<String> {
    let listed = scenario
        .endpoints
        .iter()
        .filter(|named| named.server.configured);
    let mut names: Vec<String> = listed.map(|named| named.name.clone()).collect();
    let dials = trace.dials().map(|(_, order)| order.endpoint.number());
    let most = dials
        .max()
        .map_or(0, |id| usize::try_from(id).unwrap_or(0) + 1);
    for later in names.len()..most {
        names.push(format!("learned {later}"));
    }
    names
}

/// Names stand in the middle of their rows.
fn label(names: &[String], y: f64) -> String {
    let rows = u32::try_from(names.len() + 1).unwrap_or(u32::MAX);
    for row in 0..rows {
        if (y - f64::from(row) - 0.5).abs() < 0.01 {
            let from_top = rows - 1 - row;
            let name = usize::try_from(from_top).ok().and_then(|at| names.get(at));
            return name.map_or("the client", String::as_str).to_string();
        }
    }
    String::new()
}

fn seconds(at: Time) -> f64 {
    at.since(Time::ZERO).as_secs_f64()
}
