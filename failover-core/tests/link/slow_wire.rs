//! A wire that takes in less than is sent: what is encoded before it is never all written.

use std::time::Duration;

use failover_core::link::{Bounds, LinkPolicy, Outbox, Overflow};
use failover_core::messaging::{Link, Protocol};

use crate::nats::{Nats, NatsServer, publish};
use crate::net::{Net, WELL};
use crate::stomp::{Stomp, StompServer};
use crate::{Carried, carry, net, pass};

/// So many bytes are taken in at a time.
const PIECE: usize = 16 * 1024;
const STEP: Duration = Duration::from_millis(1);

fn waiting() -> LinkPolicy {
    let most = None;
    LinkPolicy::OFF
        .outbox(Outbox::Keep { bytes: 100_000 })
        .bounds(Bounds::DEFAULT.overflow(Overflow::Wait { most }))
}

/// A link to `a` whose sender never pauses.
async fn saturated<P: Protocol>(
    net: &Net,
    protocol: P,
    message: impl Fn() -> P::Message + Send + 'static,
) -> Carried<P> {
    net.next([net::Fate {
        window: PIECE,
        ..WELL
    }]);
    let carried = carry(net, "a", protocol, waiting());
    let link: Link<P> = carried.link.clone();
    tokio::spawn(async move { while link.send(message()).await.is_ok() {} });
    for _ in 0..20 {
        net.widen("a", PIECE);
        pass(STEP).await;
    }
    carried
}

/// Whether a flush comes back while the wire takes in what was sent before it, three times over.
async fn comes_back<P: Protocol>(net: &Net, link: &Link<P>) -> bool {
    let link = link.clone();
    let flush = tokio::spawn(async move { link.flush().await.is_ok() });
    for _ in 0..3 * (100_000 + 128 * 1024) / PIECE {
        net.widen("a", PIECE);
        pass(STEP).await;
        if flush.is_finished() {
            return flush.await.unwrap();
        }
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_flush_comes_back_although_the_sender_goes_on() {
    let net = Net::default().host("a", &NatsServer::new("pass"));
    let message = || publish("s", "x".repeat(1000));
    let Carried { link, .. } = saturated(&net, Nats::new("pass"), message).await;
    for _ in 0..3 {
        assert!(comes_back(&net, &link).await);
    }
    // Of a protocol without an answer to a ping, too.
    let net = Net::default().host("a", &StompServer::new());
    let protocol = Stomp { beats: (0, 0) };
    let Carried { link, .. } = saturated(&net, protocol, || "x".repeat(1000)).await;
    for _ in 0..3 {
        assert!(comes_back(&net, &link).await);
    }
    assert_eq!(net.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_is_heard_and_answered_although_the_sender_goes_on() {
    let net = Net::default().host("a", &NatsServer::new("pass"));
    let message = || publish("s", "x".repeat(1000));
    let _carried = saturated(&net, Nats::new("pass"), message).await;
    for _ in 0..300 {
        net.say("a", "PING\r\n".repeat(200));
        net.widen("a", PIECE);
        pass(STEP).await;
    }
    assert_eq!(net.unread_by_client(), 0);
    assert_eq!(net.counts(), (1, 1));
}
