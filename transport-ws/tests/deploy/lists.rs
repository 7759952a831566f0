//! One text, all transports.

use std::net::SocketAddr;
use std::sync::Arc;

use failover_core::dial::{Dial, DialContext, Registry, RegistryError};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::GiveUp;
use failover_core::failure::{Failure, Kind};
use failover_core::testing::conformance::PeerLog;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use transport_tcp::{ByteStream, Tcp};
use transport_ws::deploy;

use crate::onion::{Authority, Speaks, mute};
use crate::{Directory, notes_heads, parse, soon, start};

#[tokio::test]
async fn one_list_speaks_every_scheme_and_one_of_the_user_s_own() {
    let dir = Directory::new("every-scheme");
    let authority = Authority::new();
    let ca = dir.file("ca.pem", authority.pem());
    let socket = dir.0.join("a socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let unix = socket.to_str().unwrap().replace(' ', "%20");
    let (tcp, _) = mute().await;
    let (tls, _) = authority.serve(Speaks::Tls).await;
    let (ws, _) = authority.serve(Speaks::Ws).await;
    let (wss, _) = authority.serve(Speaks::Wss).await;
    let deployment = parse(&json!({
        "version": 1,
        "endpoints": [
            format!("tcp://{tcp}"), format!("tls://{tls}"), format!("ws://{ws}"),
            format!("wss://{wss}"), format!("unix:{unix}"), "mine://127.0.0.1",
        ],
        "transport": { "tls": { "ca": ca } },
    }));
    let own = Tcp::new().default_port(tcp.port());
    let registry = deploy::registry(&deployment).unwrap();
    let registry = registry.with("mine", own.map(ByteStream::new));

    let mut kinds = Vec::new();
    for endpoint in deploy::endpoints(&deployment, &registry).unwrap() {
        kinds.push(format!("{:?}", dial(&registry, endpoint).await.unwrap()));
    }
    for (kind, layers) in kinds.iter().zip([
        [false, false, true],
        [true, false, true],
        [false, true, true],
        [true, true, true],
        [false, false, false],
        [false, false, true],
    ]) {
        let found = ["TlsStream", "WsStream", "TcpStream"].map(|layer| kind.contains(layer));
        assert_eq!(found, layers, "{kind}");
    }
    assert_eq!(kinds.len(), 6);
    drop(listener);
}

#[tokio::test]
async fn what_an_endpoint_says_of_its_own_beats_the_defaults() {
    let dir = Directory::new("overrides");
    let (authority, stranger) = (Authority::new(), Authority::new());
    let right = dir.file("right.pem", authority.pem());
    let wrong = dir.file("wrong.pem", stranger.pem());
    let (one, _) = authority.serve(Speaks::Tls).await;
    let (two, _) = authority.serve(Speaks::Tls).await;
    let (three, heads) = notes_heads().await;
    let deployment = parse(&json!({
        "version": 1,
        "endpoints": [
            { "url": format!("tls://{one}"), "transport": { "tls": { "ca": right } } },
            format!("tls://{two}"),
            { "url": format!("ws://{three}/own"),
              "transport": { "ws": { "headers": { "X-Who": "own" } }, "tcp": { "nodelay": false } } },
            format!("ws://{three}/default"),
        ],
        "transport": { "tls": { "ca": wrong }, "ws": { "headers": { "X-Who": "default" } } },
    }));
    let registry = deploy::registry(&deployment).unwrap();
    let endpoints = deploy::endpoints(&deployment, &registry).unwrap();
    let mut succeeds = Vec::new();
    for endpoint in endpoints {
        succeeds.push(dial(&registry, endpoint).await.is_ok());
    }
    assert_eq!(succeeds, [true, false, true, true]);
    let heads = heads.lock().unwrap();
    assert!(heads[0].contains("GET /own ") && heads[0].contains("X-Who: own\r\n"));
    assert!(heads[1].contains("GET /default ") && heads[1].contains("X-Who: default\r\n"));
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_would_be_right() {
    let with = |endpoint: Value, defaults: Value| json!({ "version": 1, "endpoints": [endpoint], "transport": defaults });
    let own =
        |url: &str, tables: Value| with(json!({ "url": url, "transport": tables }), json!({}));
    for (text, told) in [
        (
            own("tcp://a:1", json!({ "tcp": { "stagger": "100ms" } })),
            "endpoint `a:1`: transport.tcp.stagger: not for one endpoint alone, only for all",
        ),
        (
            own("tcp://joe:hunter2@a:1", json!({ "tls": { "alpn": ["x"] } })),
            "endpoint `a:1`: transport.tls: `tcp://***@a:1` has no such layer: leave the table out, \
             or write another scheme",
        ),
        (
            own("wss://a", json!({ "tls": { "certificate": "x" } })),
            "endpoint `a`: transport.tls.certificate: there is no `key` beside it: write both (they \
             may be one file)",
        ),
        (
            own("ws://a", json!({ "ws": { "close_grace": "1s" } })),
            "endpoint `a`: transport.ws.close_grace: not for one endpoint alone, only for all",
        ),
        (
            with(json!("tpc://a:1"), json!({})),
            "endpoint `a:1`: no transport for scheme `tpc`: known are tcp, tls, unix, ws, wss",
        ),
        (
            with(json!("tcp://a:1"), json!({ "tcp": { "send_buffer": 0 } })),
            "transport.tcp.send_buffer: it is 0, and must be above: leave it out for the system's \
             choice",
        ),
        (
            with(
                json!("tcp://a:1"),
                json!({ "tls": { "ca": "/no/such/file" } }),
            ),
            "transport.tls: cannot read the CA file `/no/such/file`",
        ),
        (
            json!({ "version": 1, "endpoints": [] }),
            "there is no endpoint: write `endpoints = [\"tls://host:port\"]`",
        ),
    ] {
        let deployment = parse(&text);
        let made = deploy::registry(&deployment);
        let error = made.and_then(|registry| deploy::endpoints(&deployment, &registry));
        assert_eq!(error.unwrap_err().to_string(), told, "{text}");
    }
}

#[tokio::test]
async fn a_cascade_comes_down_to_plain_tcp_only_if_it_may_and_goes_on_where_it_worked() {
    for (fallback, reaches) in [("refuse", false), ("allow", true)] {
        let (wss, tls) = (hangs_up().await, hangs_up().await);
        let (tcp, plain) = mute().await;
        let (mut connector, _) = start(&json!({
            "version": 1,
            "endpoints": [{
                "url": format!("wss://{}", wss.0),
                "routes": [format!("tls://{}", tls.0), format!("tcp://{tcp}")],
            }],
            "policy": { "plain_fallback": fallback, "start_up_limits": { "turns": 1 } },
        }));
        let connected: Result<_, GiveUp> = soon(connector.connect()).await;
        assert_eq!((wss.1.accepted(), tls.1.accepted()), (1, 1));
        assert_eq!(connected.is_ok(), reaches);
        let Ok(link) = connected else {
            continue;
        };
        assert_eq!(link.target().route(), 2);
        connector.lost(link.id(), Failure::new(Kind::Reset));
        let link = soon(connector.connect()).await.unwrap();
        assert_eq!(link.target().route(), 2);
        while plain.accepted() < 2 {
            soon(tokio::task::yield_now()).await;
        }
        let others = (wss.1.accepted(), tls.1.accepted());
        assert_eq!(others, (1, 1), "the route that worked goes first");
    }
}

#[tokio::test]
async fn a_path_over_tcp_is_ignored_unless_the_user_s_own_dialer_means_something_by_it() {
    let (tcp, _) = mute().await;
    let deployment =
        parse(&json!({ "version": 1, "endpoints": [format!("tcp://{tcp}/feed?a=b")] }));
    let registry = deploy::registry(&deployment).unwrap();
    let endpoint = deploy::endpoints(&deployment, &registry).unwrap().remove(0);
    dial(&registry, endpoint).await.unwrap();

    let own = registry.with("tcp", OnlyFeeds(Tcp::new()).map(ByteStream::new));
    let endpoint = deploy::endpoints(&deployment, &own).unwrap().remove(0);
    dial(&own, endpoint).await.unwrap();
}

/// To whom a path over TCP means something.
struct OnlyFeeds(Tcp);

impl Dial for OnlyFeeds {
    type Conn = <Tcp as Dial>::Conn;
    type Error = Failure;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Self::Conn, Failure> {
        assert_eq!(to.url().rest(), "/feed?a=b");
        let dialled = self.0.dial(to, cx).await;
        dialled.map_err(|_| Failure::new(Kind::Refused))
    }
}

async fn dial(
    registry: &Registry<ByteStream>,
    endpoint: Endpoint,
) -> Result<ByteStream, RegistryError> {
    let target = Target::new(Arc::new(endpoint), 0);
    soon(registry.dial(&target, &DialContext::unbounded())).await
}

/// A peer that accepts and hangs up at once.
async fn hangs_up() -> (SocketAddr, PeerLog) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, log) = (listener.local_addr().unwrap(), PeerLog::default());
    let noted = log.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            drop(noted.accept());
        }
    });
    (address, log)
}
