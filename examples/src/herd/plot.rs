//! Herds as a picture: dials and connections over time, policies under each other.

use failover_core::time::Time;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::count::float;
use super::report::Herd;
use crate::picture::{COLOURS, CURVES, Unplotted, unplotted};

/// Points of a curve: more are not seen.
const POINTS: usize = 600;
const WIDTH: u32 = 1200;
const ROW: u32 = 260;
const HEAD: u32 = 72;
const OUTAGE: RGBColor = RGBColor(235, 235, 235);

/// All herds on one page, as SVG: a row for each policy, dials a second on the left, connections on
/// the right, each server in its colour, the outage in grey; the legend is above them, where it hides no
/// curve. The scales of a column are the same.
///
/// # Errors
/// The drawing library's, in words.
pub fn page(title: &str, herds: &[Herd]) -> Result<String, Unplotted> {
    let mut text = String::new();
    {
        let rows = herds.len().max(1);
        let height = HEAD + ROW * u32::try_from(rows).unwrap_or(1);
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE).map_err(unplotted)?;
        let (head, body) = root.split_vertically(HEAD);
        let head = head.titled(title, ("sans-serif", 22)).map_err(unplotted)?;
        let curves: Vec<Curves> = herds.iter().map(Curves::of).collect();
        legend(
            &head,
            curves.first().map_or(&[][..], |curves| &curves.dials),
        )?;
        let most = |of: fn(&Curve) -> &[(f64, f64)], side: fn(&Curves) -> &[Curve]| {
            let points = curves.iter().flat_map(side).flat_map(of);
            points.map(|(_, y)| *y).fold(1.0, f64::max) * 1.05
        };
        let dials = most(|curve| &curve.points, |curves| &curves.dials);
        let held = most(|curve| &curve.points, |curves| &curves.held);
        let cells = body.split_evenly((rows, 2));
        for ((herd, curves), cells) in herds.iter().zip(&curves).zip(cells.chunks(2)) {
            if let [left, right] = cells {
                let name = format!("{}: dials a second (powers of ten)", herd.policy);
                chart(left, &name, herd, &curves.dials, (dials, &|y| power(*y)))?;
                let name = format!("{}: connections", herd.policy);
                chart(right, &name, herd, &curves.held, (held, &|y| short(*y)))?;
            }
        }
        root.present().map_err(unplotted)?;
    }
    Ok(text)
}

struct Curves {
    dials: Vec<Curve>,
    held: Vec<Curve>,
}

struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Curves {
    /// One curve for each server, or for all together if they are many. Rates are the highest, and
    /// connections the last, of what falls on one point; rates as logarithms.
    fn of(herd: &Herd) -> Self {
        let servers = herd.servers.len().max(1);
        let rows: Vec<_> = herd.bins.chunks(servers).collect();
        let step = rows.len().div_ceil(POINTS).max(1);
        let groups: Vec<(String, Vec<usize>)> = if servers <= CURVES {
            let names = herd.servers.iter().map(|server| server.name.clone());
            names.enumerate().map(|(n, name)| (name, vec![n])).collect()
        } else {
            vec![(format!("all {servers} servers"), (0..servers).collect())]
        };
        let width = herd.bin.as_secs_f64();
        let mut curves = Self {
            dials: Vec::new(),
            held: Vec::new(),
        };
        for (name, members) in groups {
            let (mut dials, mut held) = (Vec::new(), Vec::new());
            for (number, rows) in rows.chunks(step).enumerate() {
                let at = float(u64::try_from(number * step).unwrap_or(0)) * width;
                let sum = |row: &[super::report::Bin]| {
                    let dials = members
                        .iter()
                        .filter_map(|m| row.get(*m))
                        .map(|bin| bin.dials);
                    float(dials.sum::<u64>())
                };
                let most = rows.iter().map(|row| sum(row)).fold(0.0, f64::max);
                dials.push((at, (most / width).max(1.0).log10()));
                let last = rows.last().copied().unwrap_or_default();
                let now = members
                    .iter()
                    .filter_map(|m| last.get(*m))
                    .map(|bin| bin.held);
                held.push((at, float(u64::try_from(now.sum::<usize>()).unwrap_or(0))));
            }
            curves.dials.push(Curve {
                name: name.clone(),
                points: dials,
            });
            curves.held.push(Curve { name, points: held });
        }
        curves
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn chart(
    area: &Area<'_>,
    title: &str,
    herd: &Herd,
    curves: &[Curve],
    (most, label): (f64, &dyn Fn(&f64) -> String),
) -> Result<(), Unplotted> {
    let end = herd.until.since(Time::ZERO).as_secs_f64();
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(8)
        .margin_right(24)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end, 0.0..most)
        .map_err(unplotted)?;
    outage(&mut chart, herd, most)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE.mix(0.0))
        .x_desc("seconds")
        .x_labels(10)
        .y_labels(5)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&label)
        .label_style(("sans-serif", 12))
        .draw()
        .map_err(unplotted)?;
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
        chart.draw_series(line).map_err(unplotted)?;
    }
    Ok(())
}

/// What each colour stands for, in one line.
fn legend(area: &Area<'_>, curves: &[Curve]) -> Result<(), Unplotted> {
    const LEFT: i32 = 72;
    const SIGN: i32 = 18;
    const LETTER: i32 = 8;
    let style = ("sans-serif", 13).into_font();
    let mut x = LEFT;
    let mut entry = |name: &str, from: i32, to: i32, colour: RGBColor| {
        let sign = Rectangle::new([(x, from), (x + SIGN, to)], colour.filled());
        area.draw(&sign).map_err(unplotted)?;
        let text = Text::new(name.to_string(), (x + SIGN + 6, 10), style.clone());
        area.draw(&text).map_err(unplotted)?;
        let letters = i32::try_from(name.chars().count()).unwrap_or(i32::MAX / 16);
        x += SIGN + 30 + LETTER * letters;
        Ok::<(), Unplotted>(())
    };
    for (curve, colour) in curves.iter().zip(COLOURS) {
        entry(&curve.name, 15, 18, colour)?;
    }
    entry(
        "from the first loss until the world had healed",
        10,
        23,
        OUTAGE,
    )
}

/// The time from the first loss until the world had healed.
fn outage(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    herd: &Herd,
    most: f64,
) -> Result<(), Unplotted> {
    let (Some(lost), Some(healed)) = (herd.lost_at, herd.healed_at) else {
        return Ok(());
    };
    let seconds = |at: Time| at.since(Time::ZERO).as_secs_f64();
    let corners = [(seconds(lost), 0.0), (seconds(healed), most)];
    let grey = Rectangle::new(corners, OUTAGE.filled());
    chart.draw_series([grey]).map_err(unplotted)?;
    Ok(())
}

/// 6 as 1M: the curve of dials shows logarithms, for the worst policy knocks a thousand times as often
/// as the best.
fn power(log: f64) -> String {
    match 10_f64.powf(log).round() {
        most if most <= 1.0 => "≤ 1".to_string(),
        dials => short(dials),
    }
}

/// 1200000 as 1.2M.
fn short(figure: f64) -> String {
    let (figure, unit) = match figure {
        f if f >= 1e6 => (f / 1e6, "M"),
        f if f >= 1e3 => (f / 1e3, "k"),
        f => (f, ""),
    };
    let text = format!("{figure:.1}");
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}
