//! Redirects over TLS: followed to a server whose certificate is good, and to no other.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod onion;

use failover_core::dial::{Dial, DialContext};
use failover_core::failure::{Classify, Kind, Scope};
use transport_tcp::Tcp;
use transport_ws::{NotFollowed, Ws, WsConfig, WsError};

use self::onion::{Authority, Speaks, target};

#[tokio::test]
async fn a_redirect_is_followed_over_tls_to_whom_the_certificate_names() {
    let (ours, strange) = (Authority::new(), Authority::new());
    let (good, log) = ours.serve(Speaks::Wss).await;
    let (distrusted, _log) = strange.serve(Speaks::Wss).await;
    let ws = Ws::new(ours.tls(Tcp::new())).config(WsConfig::default().follow_redirects(1));

    let (first, _log) = ours.sends_on(format!("https://{good}/there")).await;
    let to = target(format!("wss://{first}/here"));
    ws.dial(&to, &DialContext::unbounded()).await.unwrap();
    assert_eq!(log.accepted(), 1);

    let (first, _log) = ours.sends_on(format!("wss://{distrusted}/there")).await;
    let to = target(format!("wss://{first}/here"));
    let error = ws.dial(&to, &DialContext::unbounded()).await.unwrap_err();
    let failure = error.failure();
    assert_eq!((failure.kind, failure.scope), (Kind::Tls, Scope::Endpoint));

    let (plain, _log) = ours.serve(Speaks::Ws).await;
    let (first, _log) = ours.sends_on(format!("ws://{plain}/there")).await;
    let to = target(format!("wss://{first}/here"));
    let error = ws.dial(&to, &DialContext::unbounded()).await.unwrap_err();
    let WsError::Refused(refusal) = error else {
        unreachable!("{error:?}");
    };
    assert_eq!(refusal.not_followed, Some(NotFollowed::Downgrade));
}
