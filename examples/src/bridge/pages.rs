//! Which page answers what is asked for.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::bridge::http::{Request, Response};
use crate::bridge::page;
use crate::bridge::session::Shared;
use crate::bridge::view::View;

/// The page that is asked for, as the bridge is at this moment.
pub(crate) fn answer(shared: &Shared, asked: &Request) -> Response {
    let plan = Arc::clone(&shared.plan.borrow());
    let view = View::of(&shared.board, &plan, &shared.common);
    let json = |value: Value| Response {
        status: "200 OK",
        kind: "application/json",
        body: value.to_string() + "\n",
    };
    let wants_json = asked.accept.contains("application/json");
    match asked.path.as_str() {
        "/" if asked.accept.contains("text/html") => Response {
            status: "200 OK",
            kind: "text/html; charset=utf-8",
            body: page::html(&view),
        },
        "/" if !wants_json => Response::text("200 OK", page::text(&view)),
        "/" | "/status.json" => json(json!(view)),
        "/metrics" => Response {
            status: "200 OK",
            kind: "text/plain; version=0.0.4; charset=utf-8",
            body: page::metrics(&view, &shared.board.numbers),
        },
        "/health" => {
            let mut response = match wants_json {
                true => json(json!({"health": view.health, "says": view.says})),
                false => Response::text("200 OK", format!("{}: {}\n", view.health, view.says)),
            };
            if !view.is_healthy() {
                response.status = "503 Service Unavailable";
            }
            response
        }
        _ => Response::text(
            "404 Not Found",
            "there are /, /status.json, /health and /metrics\n",
        ),
    }
}
