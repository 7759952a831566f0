//! Handles are heard while a connection that is to be left, or that says goodbye, is finished.

use failover_core::directory::Endpoint;
use failover_core::link::{AtLoss, Replay};
use failover_core::messaging::Ended;
use failover_core::policy::Standing;

use crate::net::{self, Net, WELL, lock};
use crate::stomp::{Stomp, StompServer};
use crate::{Carried, SECOND, carry_with, kept, pass, patient};

/// A link whose first connection is left, and waits for a confirmation that does not come; for a minute.
async fn leaving() -> (Carried<Stomp>, Net) {
    let (a, b) = (StompServer::new(), StompServer::new());
    lock(&a).mute = true;
    lock(&b).mute = true;
    let net = Net::default().host("a", &a).host("b", &b);
    let standing = Standing::default().grace(60 * SECOND);
    let link = kept().replay(Replay::Bytes(100)).at_loss(AtLoss::Wait);
    let policy = patient().standing(standing);
    let carried = carry_with(&net, "a b", Stomp { beats: (0, 0) }, link, policy);
    carried.link.try_send("x".into()).unwrap();
    pass(SECOND).await;
    carried.link.handle().drain();
    pass(5 * SECOND).await;
    assert_eq!(net.counts(), (2, 2), "it has not moved");
    (carried, net)
}

#[tokio::test(start_paused = true)]
async fn a_close_is_heard_while_a_connection_is_left() {
    let (Carried { link, driver }, net) = leaving().await;
    let start = tokio::time::Instant::now();
    link.handle().close();
    assert!(matches!(link.ended().await, Ended::Closed));
    driver.await.unwrap().unwrap();
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
    assert_eq!(net.counts().1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_list_is_heard_while_a_connection_is_left() {
    let (Carried { link, driver: _d }, _net) = leaving().await;
    let handle = link.handle();
    handle.add(Endpoint::parse("tcp://c:1").unwrap()).unwrap();
    pass(SECOND / 10).await;
    let snapshot = format!("{:?}", handle.snapshot());
    assert!(snapshot.contains("c:1"), "{snapshot}");
}

#[tokio::test(start_paused = true)]
async fn a_close_is_heard_while_a_farewell_is_written() {
    let server = StompServer::new();
    let net = Net::default().host("a", &server);
    // The login and its answer pass, the farewell does not.
    net.next([net::Fate {
        window: "CONNECT\nheart-beat:0,0\n\n\0".len() + 3,
        ..WELL
    }]);
    let protocol = Stomp { beats: (0, 0) };
    let Carried { link, driver } = carry_with(&net, "a", protocol, kept(), patient());
    link.flush().await.unwrap();
    let start = tokio::time::Instant::now();
    let drained = tokio::spawn({
        let link = link.clone();
        async move { link.drain().await }
    });
    pass(SECOND / 10).await;
    assert!(!drained.is_finished());
    link.handle().close();
    drained.await.unwrap().unwrap();
    driver.await.unwrap().unwrap();
    assert!(start.elapsed() <= SECOND / 5, "{:?}", start.elapsed());
}
