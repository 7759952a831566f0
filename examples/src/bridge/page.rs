//! A [`View`] for people (text, HTML) and for Prometheus.

use std::fmt::Write as _;
use std::time::Duration;

use crate::bridge::numbers::{Numbers, head, line};
use crate::bridge::view::{ConnectionView, EndedView, ServerView, View, for_people};
use crate::timeline::Table;

/// The page as text.
pub(crate) fn text(view: &View) -> String {
    let mut text = String::new();
    for said in summary(view) {
        let _ = writeln!(text, "{said}");
    }
    for section in sections(view) {
        let _ = write!(text, "\n{}\n", section.title);
        match section.rows.is_empty() {
            true => drop(writeln!(text, "  {}", section.empty)),
            false => {
                let mut table = Table::new(section.columns.iter().copied());
                for row in section.rows {
                    table.row(row);
                }
                let _ = write!(text, "{table}");
            }
        }
    }
    text
}

/// The page for a browser: it asks again every five seconds.
pub(crate) fn html(view: &View) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
         <title>failover bridge</title><style>\
         body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#222}\
         table{border-collapse:collapse;margin:.3em 0 1.5em}\
         td,th{text-align:left;padding:.2em .9em .2em 0;border-bottom:1px solid #ddd;vertical-align:top}\
         h2{font-size:1em;margin:0}.ok{color:#060}.bad{color:#a00}</style>\n",
    );
    let class = if view.is_healthy() { "ok" } else { "bad" };
    for (number, said) in summary(view).iter().enumerate() {
        let said = escaped(said);
        let _ = match number {
            0 => writeln!(html, "<p class={class}><b>{said}</b></p>"),
            _ => writeln!(html, "<p>{said}</p>"),
        };
    }
    for section in sections(view) {
        let _ = writeln!(html, "<h2>{}</h2>", escaped(&section.title));
        if section.rows.is_empty() {
            let _ = writeln!(html, "<p>{}</p>", escaped(section.empty));
            continue;
        }
        let cells = |tag: &str, cells: &[&str]| {
            let cells = cells
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
            cells.collect::<String>()
        };
        let _ = writeln!(html, "<table><tr>{}</tr>", cells("th", section.columns));
        for row in &section.rows {
            let row: Vec<&str> = row.iter().map(String::as_str).collect();
            let _ = writeln!(html, "<tr>{}</tr>", cells("td", &row));
        }
        html.push_str("</table>\n");
    }
    html
}

/// What a scrape gets.
pub(crate) fn metrics(view: &View, numbers: &Numbers) -> String {
    let mut text = String::new();
    numbers.render(&mut text);
    for (name, help, value) in plain(view) {
        head(&mut text, name, help);
        line(&mut text, name, &[], value);
    }
    for Labelled {
        name,
        help,
        label,
        values,
    } in labelled(view)
    {
        head(&mut text, name, help);
        for (of, value) in values {
            line(&mut text, name, &[(label, of)], value);
        }
    }
    text
}

/// Name, help, value.
fn plain(view: &View) -> [(&'static str, &'static str, f64); 10] {
    let healthy = f64::from(u8::from(view.is_healthy()));
    let totals = &view.totals;
    [
        (
            "failover_bridge_healthy",
            "1: new clients are served.",
            healthy,
        ),
        (
            "failover_bridge_clients_max",
            "As many clients as there may be.",
            view.clients.most as f64,
        ),
        (
            "failover_bridge_accepted_total",
            "Clients that came.",
            totals.accepted as f64,
        ),
        (
            "failover_bridge_full_total",
            "How often the limit was reached.",
            totals.full as f64,
        ),
        (
            "failover_bridge_reopened_total",
            "Servers replaced before a byte had passed.",
            totals.reopened as f64,
        ),
        (
            "failover_bridge_file_loaded_seconds",
            "When the file that counts was read, Unix time.",
            view.file.loaded_unix_s,
        ),
        (
            "failover_bridge_started_seconds",
            "When the bridge started, Unix time.",
            view.started_unix_s,
        ),
        (
            "failover_dials_in_flight",
            "Dials in flight.",
            view.dials.in_flight as f64,
        ),
        (
            "failover_dials_held",
            "Dials that wait for a permit.",
            view.dials.held as f64,
        ),
        (
            "failover_retries_left",
            "Retries that are allowed now.",
            f64::from(view.dials.retries_left),
        ),
    ]
}

/// A metric with a value for each value of a label.
struct Labelled<'a> {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: Vec<(&'a str, f64)>,
}

fn labelled(view: &View) -> [Labelled<'_>; 6] {
    let of_each = |value: &dyn Fn(&ServerView) -> f64| {
        let servers = view.servers.iter();
        servers.map(|it| (it.name.as_str(), value(it))).collect()
    };
    let ended = view.totals.ended.iter();
    [
        Labelled {
            name: "failover_bridge_clients",
            help: "Clients that are there.",
            label: "state",
            values: vec![
                ("connected", view.clients.connected as f64),
                ("waiting", view.clients.waiting as f64),
            ],
        },
        Labelled {
            name: "failover_bridge_bytes_total",
            help: "Bytes that passed.",
            label: "to",
            values: vec![
                ("server", view.bytes.0 as f64),
                ("client", view.bytes.1 as f64),
            ],
        },
        Labelled {
            name: "failover_bridge_ended_total",
            help: "Clients that are gone.",
            label: "how",
            values: ended.map(|(how, count)| (*how, *count as f64)).collect(),
        },
        Labelled {
            name: "failover_bridge_reloads_total",
            help: "Changes of the file.",
            label: "result",
            values: vec![
                ("taken", view.totals.loaded as f64),
                ("refused", view.totals.refused as f64),
            ],
        },
        Labelled {
            name: "failover_bridge_connections",
            help: "Clients connected to the server.",
            label: "endpoint",
            values: of_each(&|it| it.connections as f64),
        },
        Labelled {
            name: "failover_bridge_rests_seconds",
            help: "For how long the server rests still; 0: it is ready.",
            label: "endpoint",
            values: of_each(&|it| it.rests_s.unwrap_or(0.0)),
        },
    ]
}

/// The first lines: the first one says whether all is well.
fn summary(view: &View) -> Vec<String> {
    let mut said = vec![
        format!("failover bridge: {}, {}", view.health, view.says),
        format!(
            "listening on {} for {}; clients: {} connected, {} waiting for a server, at most {}{}; {} came so far",
            view.listening,
            ago(view.up_s),
            view.clients.connected,
            view.clients.waiting,
            view.clients.most,
            if view.clients.full {
                " (full: others wait)"
            } else {
                ""
            },
            view.clients.accepted,
        ),
        format!(
            "file {}: read {} ago",
            view.file.name,
            ago(view.file.loaded_s_ago)
        ),
    ];
    if let (Some(why), Some(at)) = (&view.file.refused, view.file.refused_s_ago) {
        said.push(format!(
            "THE FILE HAS CHANGED AND WAS REFUSED {} ago, the older one stays: {why}",
            ago(at)
        ));
    }
    said
}

/// A table with a title.
struct Section {
    title: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
    /// What is said where there are no rows.
    empty: &'static str,
}

fn sections(view: &View) -> Vec<Section> {
    let mut sections = vec![Section {
        title: "Servers".to_string(),
        columns: &[
            "name",
            "clients",
            "state",
            "dials",
            "failed",
            "why the last client came",
            "routes",
        ],
        rows: view.servers.iter().map(server).collect(),
        empty: "none",
    }];
    if let Some(newest) = &view.newest {
        sections.push(Section {
            title: format!("As client #{} sees them", newest.connection),
            columns: &["server", "what its connector says"],
            rows: newest
                .explains
                .iter()
                .map(|said| match said.split_once(": ") {
                    Some((name, rest)) => vec![name.to_string(), rest.to_string()],
                    None => vec![said.clone(), String::new()],
                })
                .collect(),
            empty: "",
        });
    }
    let all = view.clients.connected + view.clients.waiting;
    let shown = view.connections.len();
    sections.push(Section {
        title: match shown < all {
            true => format!("Clients (the newest {shown} of {all})"),
            false => "Clients".to_string(),
        },
        columns: &[
            "#",
            "client",
            "for",
            "server",
            "for",
            "to server",
            "to client",
            "why this server",
        ],
        rows: view.connections.iter().map(connection).collect(),
        empty: "nobody is connected",
    });
    sections.push(Section {
        title: "Ended last".to_string(),
        columns: &["#", "client", "server", "lived", "ended", "how"],
        rows: view.ended.iter().map(ended).collect(),
        empty: "nobody yet",
    });
    sections
}

fn server(it: &ServerView) -> Vec<String> {
    vec![
        it.name.clone(),
        it.connections.to_string(),
        it.says.clone(),
        it.dials.to_string(),
        it.failed_dials.to_string(),
        it.why.clone().unwrap_or_else(|| "–".to_string()),
        it.routes.join(" "),
    ]
}

fn connection(it: &ConnectionView) -> Vec<String> {
    let none = || "–".to_string();
    vec![
        it.number.to_string(),
        it.client.clone(),
        ago(it.since_s),
        match (&it.server, &it.url) {
            (Some(server), Some(url)) => format!("{server} ({url})"),
            _ => "waits for one".to_string(),
        },
        it.connected_s.map_or_else(none, ago),
        it.bytes_to_server.to_string(),
        it.bytes_to_client.to_string(),
        it.why.clone().unwrap_or_else(none),
    ]
}

fn ended(it: &EndedView) -> Vec<String> {
    vec![
        it.number.to_string(),
        it.client.clone(),
        it.server.clone().unwrap_or_else(|| "–".to_string()),
        ago(it.lived_s),
        format!("{} ago", ago(it.s_ago)),
        it.how.clone(),
    ]
}

fn ago(seconds: f64) -> String {
    for_people(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
