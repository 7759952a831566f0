//! Herds for a spreadsheet.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::report::Herd;

/// The figures: a line for each policy, and one for each of its servers. The columns are the keys of the
/// JSON; a line has no value in the columns of the other kind.
#[must_use]
pub fn csv(herds: &[Herd]) -> String {
    let lines: Vec<Value> = herds.iter().map(Herd::json).collect();
    let (mut whole, mut single) = (Vec::new(), Vec::new());
    if let Some(Value::Object(first)) = lines.first() {
        let keys = first.iter().filter(|(_, value)| !value.is_array());
        whole = keys.map(|(key, _)| key.clone()).collect();
        let server = first.get("servers").and_then(|servers| servers.get(0));
        let keys = server.and_then(Value::as_object).into_iter().flatten();
        single = keys
            .map(|(key, _)| key.clone())
            .filter(|key| key != "name")
            .collect();
    }
    whole.retain(|key| key != "policy");
    single.retain(|key| !whole.contains(key));
    let mut text = String::from("policy,server");
    for key in whole.iter().chain(&single) {
        let _ = write!(text, ",{key}");
    }
    text.push('\n');
    for line in &lines {
        let policy = cell(&line["policy"]);
        row(&mut text, (&policy, ""), (&whole, &single), line);
        for server in line["servers"].as_array().into_iter().flatten() {
            let name = cell(&server["name"]);
            row(&mut text, (&policy, &name), (&whole, &single), server);
        }
    }
    text
}

/// One line of what there is in these columns.
fn row(
    text: &mut String,
    (policy, server): (&str, &str),
    (whole, single): (&[String], &[String]),
    line: &Value,
) {
    let _ = write!(text, "{policy},{server}");
    for key in whole.iter().chain(single) {
        let _ = write!(text, ",{}", cell(&line[key.as_str()]));
    }
    text.push('\n');
}

/// The rates over time, one line a stretch and server.
#[must_use]
pub fn rates(herds: &[Herd]) -> String {
    let mut text = String::from("policy,at_ms,server,dials,accepted,failed,connected\n");
    for herd in herds {
        let mut at = Duration::ZERO;
        for bins in herd.bins.chunks(herd.servers.len().max(1)) {
            for (bin, server) in bins.iter().zip(&herd.servers) {
                let (policy, name) = (quoted(&herd.policy), quoted(&server.name));
                let at = at.as_millis();
                let _ = writeln!(
                    text,
                    "{policy},{at},{name},{},{},{},{}",
                    bin.dials, bin.accepted, bin.failed, bin.held
                );
            }
            at += herd.bin;
        }
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}
