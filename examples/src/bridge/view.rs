//! The bridge at one moment: what the page, the JSON and the metrics are made of.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use failover_core::directory::Endpoint;
use serde::Serialize;

use crate::bridge::board::{Board, Ended, Inside, Phase, Row};
use crate::bridge::plan::{Common, Plan};

/// The bridge at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct View {
    /// `ok`, `no-server`, `draining`.
    pub(crate) health: &'static str,
    /// The same in a sentence.
    pub(crate) says: String,
    pub(crate) listening: String,
    pub(crate) up_s: f64,
    pub(crate) started_unix_s: f64,
    pub(crate) file: FileView,
    pub(crate) clients: Clients,
    pub(crate) servers: Vec<ServerView>,
    /// What the connector of the newest client says of each server.
    pub(crate) newest: Option<Newest>,
    /// The newest first, at most [`SHOWN`].
    pub(crate) connections: Vec<ConnectionView>,
    /// The last first.
    pub(crate) ended: Vec<EndedView>,
    pub(crate) dials: Dials,
    #[serde(skip)]
    pub(crate) totals: crate::bridge::board::Totals,
    #[serde(skip)]
    pub(crate) bytes: (u64, u64),
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct FileView {
    pub(crate) name: String,
    pub(crate) loaded_s_ago: f64,
    pub(crate) loaded_unix_s: f64,
    /// Why the file, as it is now, was refused, and the older one stays.
    pub(crate) refused: Option<String>,
    pub(crate) refused_s_ago: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Clients {
    pub(crate) connected: usize,
    /// They have no server yet.
    pub(crate) waiting: usize,
    pub(crate) most: usize,
    pub(crate) full: bool,
    pub(crate) accepted: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerView {
    pub(crate) name: String,
    pub(crate) routes: Vec<String>,
    pub(crate) tier: u8,
    /// `in-use`, `ready`, `rests`, `failing`, `untried`, `removed`.
    pub(crate) state: &'static str,
    /// The same in a sentence.
    pub(crate) says: String,
    pub(crate) connections: usize,
    pub(crate) in_use_s: Option<f64>,
    /// Why the last client came to it.
    pub(crate) why: Option<String>,
    pub(crate) rests_s: Option<f64>,
    pub(crate) dials: u64,
    pub(crate) failed_dials: u64,
    pub(crate) last_error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Newest {
    pub(crate) connection: u64,
    pub(crate) explains: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConnectionView {
    pub(crate) number: u64,
    pub(crate) client: String,
    pub(crate) since_s: f64,
    /// None while it waits.
    pub(crate) server: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) connected_s: Option<f64>,
    pub(crate) why: Option<String>,
    pub(crate) bytes_to_server: u64,
    pub(crate) bytes_to_client: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct EndedView {
    pub(crate) number: u64,
    pub(crate) client: String,
    pub(crate) server: Option<String>,
    pub(crate) lived_s: f64,
    pub(crate) s_ago: f64,
    pub(crate) how: String,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Dials {
    pub(crate) in_flight: usize,
    pub(crate) held: usize,
    pub(crate) retries_left: u32,
}

/// How many connections are shown.
const SHOWN: usize = 100;

impl View {
    pub(crate) fn of(board: &Board, plan: &Plan, common: &Common) -> Self {
        let resting = common.health.resting();
        let rest_of = |name: &str| {
            let its = resting.iter().find(|(it, _)| it == name);
            its.map(|(_, rest)| *rest).filter(|rest| !rest.is_zero())
        };
        // Copied first: the explanation takes the connector's own lock.
        let newest = {
            let inside = board.read();
            let newest = inside.clients.iter().next_back();
            newest.and_then(|(number, row)| Some((*number, row.handle.clone()?)))
        };
        let newest = newest.map(|(connection, handle)| Newest {
            connection,
            explains: handle.snapshot().explain(),
        });
        let now = Instant::now();
        let inside = board.read();
        let servers = servers(board, &inside, plan, rest_of, now);
        let (health, says) = health(&inside, &servers, now);
        let rows = || inside.clients.iter().rev();
        let connected = rows().filter(|(_, row)| row.on.is_some()).count();
        Self {
            health,
            says,
            listening: board.fixed.listening.clone(),
            up_s: seconds(now, board.fixed.began),
            started_unix_s: unix(board.fixed.began_at),
            file: FileView {
                name: board.fixed.file.clone(),
                loaded_s_ago: seconds(now, inside.file.loaded),
                loaded_unix_s: unix(inside.file.loaded_at),
                refused: inside.file.refused.as_ref().map(|(why, _)| why.clone()),
                refused_s_ago: inside
                    .file
                    .refused
                    .as_ref()
                    .map(|(_, at)| seconds(now, *at)),
            },
            clients: Clients {
                connected,
                waiting: inside.clients.len() - connected,
                most: board.fixed.most_clients,
                full: inside.full_since.is_some(),
                accepted: inside.totals.accepted,
            },
            servers,
            newest,
            connections: rows()
                .take(SHOWN)
                .map(|(number, row)| connection(*number, row, now))
                .collect(),
            ended: inside.ended.iter().rev().map(|it| ended(it, now)).collect(),
            dials: Dials {
                in_flight: common.limiter.in_flight(),
                held: common.limiter.waiting(),
                retries_left: common.budget.left(),
            },
            totals: inside.totals.clone(),
            bytes: inside.bytes(),
        }
    }

    /// Whether new clients are served.
    pub(crate) fn is_healthy(&self) -> bool {
        self.health == "ok"
    }
}

fn health(inside: &Inside, servers: &[ServerView], now: Instant) -> (&'static str, String) {
    if let Phase::Draining { since } = inside.phase {
        let text = format!(
            "shutting down for {}: no new clients, {} still connected",
            for_people(now - since),
            inside.clients.len()
        );
        return ("draining", text);
    }
    let listed = || servers.iter().filter(|one| one.state != "removed");
    // One whose rest is over is ready for whoever comes, to find out; unless somebody is at it.
    let tried = inside.clients.values().any(|row| row.on.is_none());
    let is_ready =
        |one: &&ServerView| one.rests_s.is_none() && !(tried && one.last_error.is_some());
    let ready = listed().filter(is_ready).count();
    match (ready, listed().count()) {
        (0, 0) => ("no-server", "there is no server in the list".to_string()),
        (0, 1) => (
            "no-server",
            "the only server cannot be reached at present".to_string(),
        ),
        (0, all) => (
            "no-server",
            format!("none of {all} servers can be reached at present"),
        ),
        (_, 1) => ("ok", "the only server is ready".to_string()),
        (ready, all) => ("ok", format!("{ready} of {all} servers ready")),
    }
}

fn servers(
    board: &Board,
    inside: &Inside,
    plan: &Plan,
    rest_of: impl Fn(&str) -> Option<Duration>,
    now: Instant,
) -> Vec<ServerView> {
    let listed = plan.endpoints().iter().map(|endpoint| {
        let name = endpoint.name();
        server(board, inside, name, Some(endpoint), rest_of(name), now)
    });
    let names = plan.endpoints().iter().map(Endpoint::name);
    let names: Vec<&str> = names.collect();
    let gone = inside
        .servers
        .iter()
        .filter(|(name, known)| known.in_use.is_some() && !names.contains(&name.as_str()))
        .map(|(name, _)| server(board, inside, name, None, None, now));
    listed.chain(gone).collect()
}

fn server(
    board: &Board,
    inside: &Inside,
    name: &str,
    listed: Option<&Endpoint>,
    rests: Option<Duration>,
    now: Instant,
) -> ServerView {
    let known = inside.servers.get(name).cloned().unwrap_or_default();
    let connections = known.in_use.map_or(0, |it| it.clients);
    let in_use = known.in_use.map(|it| it.since);
    let (state, mut says) = match (listed, in_use, rests, &known.failing) {
        (None, ..) => (
            "removed",
            "left the list; what is connected has its grace".to_string(),
        ),
        (Some(_), Some(since), ..) => ("in-use", format!("in use for {}", for_people(now - since))),
        (_, None, Some(rest), _) => ("rests", format!("rests for {} more", for_people(rest))),
        (_, None, None, Some(_)) => ("failing", "is tried again at its turn".to_string()),
        (_, None, None, None) => match known.connected {
            Some(at) => (
                "ready",
                format!("ready; last used {} ago", for_people(now - at)),
            ),
            None => ("untried", "ready; not tried yet".to_string()),
        },
    };
    if let (Some(_), Some(rest)) = (in_use, rests) {
        says += &format!(", and rests for new clients for {} more", for_people(rest));
    }
    if let Some((why, since)) = &known.failing {
        says += &format!("; has failed for {}: {why}", for_people(now - *since));
    }
    ServerView {
        name: name.to_string(),
        routes: listed.map_or(Vec::new(), |endpoint| {
            endpoint.routes().iter().map(ToString::to_string).collect()
        }),
        tier: listed.map_or(0, |endpoint| endpoint.overrides().tier),
        state,
        says,
        connections,
        in_use_s: in_use.map(|since| seconds(now, since)),
        why: Some(known.why).filter(|why| !why.is_empty()),
        rests_s: rests.map(|rest| rest.as_secs_f64()),
        dials: board.numbers.of("failover_dials_total", name),
        failed_dials: board.numbers.of("failover_dial_failures_total", name),
        last_error: known.failing.map(|(why, _)| why),
    }
}

fn connection(number: u64, row: &Row, now: Instant) -> ConnectionView {
    let (bytes_to_server, bytes_to_client) = row.meter.bytes();
    let on = row.on.as_ref();
    ConnectionView {
        number,
        client: row.name.clone(),
        since_s: seconds(now, row.since),
        server: on.map(|on| on.endpoint.clone()),
        url: on.map(|on| on.url.clone()),
        connected_s: on.map(|on| seconds(now, on.since)),
        why: on.map(|on| on.why.clone()),
        bytes_to_server,
        bytes_to_client,
    }
}

fn ended(ended: &Ended, now: Instant) -> EndedView {
    EndedView {
        number: ended.number,
        client: ended.name.clone(),
        server: ended.endpoint.clone(),
        lived_s: ended.lived.as_secs_f64(),
        s_ago: seconds(now, ended.at),
        how: ended.how.clone(),
    }
}

fn seconds(now: Instant, since: Instant) -> f64 {
    (now - since).as_secs_f64()
}

fn unix(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// `350 ms`, `12.3 s`, `2 min 5 s`, `3 h 20 min`, `4 d 1 h`.
pub(crate) fn for_people(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", (time.as_millis() / 100) as f64 / 10.0),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (ms, text) in [
            (350, "350 ms"),
            (12_390, "12.3 s"),
            (59_999, "59.9 s"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (349_200_000, "4 d 1 h"),
        ] {
            assert_eq!(for_people(Duration::from_millis(ms)), text);
        }
    }
}
