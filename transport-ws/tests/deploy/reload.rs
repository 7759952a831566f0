//! A text that changes while its connector runs.

use failover_core::drive::Handle;
use failover_core::failure::{Failure, Kind};
use futures_util::FutureExt;
use serde_json::json;
use transport_ws::deploy::{DeployError, Part};

use crate::onion::mute;
use crate::{notes_heads, parse, soon, start};

#[tokio::test]
async fn a_reload_adds_and_removes_and_leaves_the_rest_alone() {
    let (a, b, c) = (mute().await.0, mute().await.0, mute().await.0);
    let list = |peers: &[_]| {
        let urls: Vec<String> = peers.iter().map(|peer| format!("tcp://{peer}")).collect();
        json!({ "version": 1, "endpoints": urls })
    };
    let (mut connector, mut reload) = start(&list(&[a, b]));
    let link = soon(connector.connect()).await.unwrap();
    let first = link.target().endpoint().name().to_string();
    let (stays, leaves) = if first == a.to_string() {
        (a, b)
    } else {
        (b, a)
    };

    let done = reload.apply(&parse(&list(&[stays, c]))).unwrap();
    assert_eq!(done.added, [c.to_string()]);
    assert_eq!(done.removed, [leaves.to_string()]);
    assert_eq!(done.kept, [stays.to_string()]);
    assert_eq!(done.waiting, []);
    assert_eq!(connector.hung_up().now_or_never(), None, "its server stays");
    assert_eq!(names(&connector.handle()), sorted([stays, c]));

    let done = reload.apply(&parse(&list(&[c]))).unwrap();
    assert_eq!((done.added.len(), done.kept), (0, vec![c.to_string()]));
    connector.lost(link.id(), Failure::new(Kind::Reset));
    let link = soon(connector.connect()).await.unwrap();
    assert_eq!(link.target().endpoint().name(), c.to_string());
}

#[tokio::test]
async fn a_reload_of_nonsense_keeps_what_there_is() {
    let a = mute().await.0;
    let good = json!({ "version": 1, "endpoints": [format!("tcp://{a}")] });
    let (mut connector, mut reload) = start(&good);
    let link = soon(connector.connect()).await.unwrap();
    for nonsense in [
        json!({ "version": 2, "endpoints": ["tcp://b:1"] }),
        json!({ "version": 1, "endpoints": ["tcp://b:1", "tpc://c:1"] }),
        json!({ "version": 1, "endpoints": ["tcp://b:1", "tcp://b:1"] }),
        json!({ "version": 1, "endpoints": ["tcp://b:1"], "policy": { "deadline": "0s" } }),
        json!({ "version": 1, "endpoints": ["tcp://b:1"],
            "transport": { "tls": { "ca": "/no/such/file" } } }),
        json!({ "version": 1, "endpoints": [
            { "url": "tcp://b:1", "routes": ["ws://b"], "transport": { "tls": { "alpn": ["x"] } } }] }),
    ] {
        assert!(reload.apply(&parse(&nonsense)).is_err(), "{nonsense}");
        assert_eq!(connector.hung_up().now_or_never(), None);
        assert_eq!(names(&connector.handle()), [a.to_string()], "{nonsense}");
    }
    // A class that only the new policy has.
    let classes = json!({ "version": 1, "policy": { "classes": [{}] },
        "endpoints": [{ "url": format!("tcp://{a}"), "class": 1 }] });
    let refused = reload.apply(&parse(&classes)).unwrap_err();
    assert!(
        matches!(
            refused,
            DeployError::NoSuchClass {
                class: 1,
                classes: 0,
                ..
            }
        ),
        "{refused}"
    );
    let done = reload.apply(&parse(&good)).unwrap();
    assert_eq!(done.kept, [a.to_string()]);
    drop(link);
}

#[test]
fn a_reload_tells_what_only_a_restart_would_bring_until_it_came() {
    let text = json!({ "version": 1, "endpoints": ["tcp://a:1", "tcp://b:1"] });
    let (_connector, mut reload) = start(&text);
    for (key, value, part) in [
        ("policy", json!({ "deadline": "3s" }), Part::Policy),
        ("link", json!({ "outbox": { "keep": 10 } }), Part::Link),
        (
            "transport",
            json!({ "tcp": { "nodelay": false } }),
            Part::Transport,
        ),
        ("endpoints", json!(["tcp://b:1", "tcp://a:1"]), Part::Order),
    ] {
        let mut other = text.clone();
        other[key] = value;
        for _ in 0..2 {
            let done = reload.apply(&parse(&other)).unwrap();
            assert_eq!(done.waiting, [part], "{other}");
        }
    }
    assert_eq!(reload.apply(&parse(&text)).unwrap().waiting, []);

    // A changed route is no mere option: the endpoint begins anew.
    let mut other = text.clone();
    other["endpoints"] = json!([{ "url": "tcp://a:1", "routes": ["ws://a"] }, "tcp://b:1"]);
    let done = reload.apply(&parse(&other)).unwrap();
    assert_eq!(
        (done.added, done.removed),
        (vec!["a:1".into()], vec!["a:1".into()])
    );
}

#[tokio::test]
async fn a_kept_endpoint_is_dialled_with_what_its_table_says_now() {
    let (peer, heads) = notes_heads().await;
    let text = |who: &str| {
        json!({ "version": 1, "endpoints": [{ "url": format!("ws://{peer}"),
            "transport": { "ws": { "headers": { "X-Who": who } } } }] })
    };
    let (mut connector, mut reload) = start(&text("old"));
    let link = soon(connector.connect()).await.unwrap();
    let done = reload.apply(&parse(&text("new"))).unwrap();
    assert_eq!((done.added.len(), done.kept.len()), (0, 1));
    connector.lost(link.id(), Failure::new(Kind::Reset));
    soon(connector.connect()).await.unwrap();
    let heads = heads.lock().unwrap();
    assert!(heads[0].contains("X-Who: old\r\n") && heads[1].contains("X-Who: new\r\n"));
}

fn names(handle: &Handle) -> Vec<String> {
    let endpoints = handle.snapshot().endpoints;
    sorted(endpoints.iter().map(|report| report.endpoint.name()))
}

fn sorted<T: ToString>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.sort();
    names
}
