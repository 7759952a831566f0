//! Draining, closing, dropping either half, giving up: all who wait are told.

use failover_core::link::{Bounds, Dropped, Fate, LinkPolicy, Outbox, Overflow, Refusal, Replay};
use failover_core::messaging::{Ended, FlushError, News, RequestError};
use failover_core::policy::{Limit, Limits};

use crate::nats::{Nats, NatsServer, ask, publish};
use crate::net::{Net, lock};
use crate::stomp::{Stomp, StompServer};
use crate::{Carried, SECOND, carry, carry_with, kept, pass, patient};

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_is_queued_says_goodbye_and_closes() {
    let server = StompServer::new();
    let net = Net::default().host("a", &server);
    net.kill("a");
    let protocol = Stomp { beats: (0, 0) };
    let Carried { link, driver } = carry(&net, "a", protocol, kept());
    let tickets = ["1", "2", "3"].map(|body| link.try_send_tracked(body.into()).unwrap());
    let drained = tokio::spawn({
        let link = link.clone();
        async move { link.drain().await }
    });
    pass(SECOND).await;
    let refused = link.try_send("late".into()).unwrap_err();
    assert_eq!(refused.refusal, Refusal::Closed);
    net.revive("a");
    drained.await.unwrap().unwrap();
    driver.await.unwrap().unwrap();
    assert!(
        tickets
            .iter()
            .all(|ticket| ticket.fate() == Fate::Confirmed)
    );
    let server = lock(&server);
    assert_eq!(
        (server.bodies.concat().as_str(), server.goodbyes),
        ("123", 1)
    );
    assert_eq!(net.counts().1, 0);
}

#[tokio::test(start_paused = true)]
async fn senders_who_wait_are_refused_as_soon_as_a_drain_begins() {
    let net = Net::default();
    let policy = LinkPolicy::OFF
        .outbox(Outbox::Keep { bytes: 1 })
        .bounds(Bounds::DEFAULT.overflow(Overflow::Wait { most: None }));
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), policy);
    link.try_send(publish("s", "0")).unwrap();
    let senders = ["1", "2"].map(|body| {
        let link = link.clone();
        tokio::spawn(async move { link.send(publish("s", body)).await })
    });
    pass(SECOND).await;
    let drained = tokio::spawn({
        let link = link.clone();
        async move { link.drain().await }
    });
    for sender in senders {
        assert_eq!(sender.await.unwrap().unwrap_err().refusal, Refusal::Closed);
    }
    assert!(!drained.is_finished());
    link.close();
    drained.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_is_prompt_and_tells_everyone_whatever_it_is_doing() {
    for up in [false, true] {
        let server = NatsServer::new("pass");
        lock(&server).mute = true;
        let net = Net::default().host("a", &server);
        if !up {
            net.kill("a");
        }
        let Carried { link, driver } = carry(&net, "a", Nats::new("pass"), kept());
        if up {
            link.flush().await.unwrap();
        }
        let asked = tokio::spawn({
            let link = link.clone();
            async move { link.request(ask("echo", "x")).await }
        });
        pass(SECOND).await;
        let ticket = link.try_send_tracked(publish("s", "x")).unwrap();
        let mut news = link.news();
        let start = tokio::time::Instant::now();
        link.close();
        driver.await.unwrap().unwrap();
        assert!(start.elapsed().is_zero());
        assert_eq!(ticket.settled().await, Fate::Dropped(Dropped::Closed));
        let asked = asked.await.unwrap().unwrap_err();
        assert!(matches!(
            asked,
            RequestError::Ended(Ended::Closed) | RequestError::Dropped(Dropped::Closed)
        ));
        assert!(matches!(
            link.flush().await,
            Err(FlushError::Ended(Ended::Closed))
        ));
        assert!(matches!(news.next().await, Some(News::Dropped { .. })));
        assert!(news.next().await.is_none());
        assert_eq!(
            link.try_send(publish("s", "y")).unwrap_err().refusal,
            Refusal::Closed
        );
        assert_eq!(net.counts().1, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_link_closes_and_dropping_the_driver_tells_everyone() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    let Carried { link, driver } = carry(&net, "a", Nats::new("pass"), kept());
    let other = link.clone();
    link.flush().await.unwrap();
    drop(link);
    pass(SECOND).await;
    assert_eq!(net.counts().1, 1);
    drop(other);
    driver.await.unwrap().unwrap();
    assert_eq!(net.counts().1, 0);

    let Carried { link, driver } = carry(&net, "a", Nats::new("pass"), kept());
    net.kill("a");
    let ticket = link.try_send_tracked(publish("s", "x")).unwrap();
    driver.abort();
    assert!(matches!(link.ended().await, Ended::NoDriver));
    assert_eq!(ticket.settled().await, Fate::Dropped(Dropped::Closed));
}

#[tokio::test(start_paused = true)]
async fn when_the_policy_gives_up_every_message_has_its_fate() {
    let server = StompServer::new();
    lock(&server).mute = true;
    let net = Net::default().host("a", &server);
    let limits = Limits::UNLIMITED.turns(Limit::AtMost(3));
    let protocol = Stomp { beats: (0, 0) };
    let link = kept().replay(Replay::Bytes(1));
    let Carried { link, driver } = carry_with(&net, "a", protocol, link, patient().limits(limits));
    let tickets = ["1", "2"].map(|body| link.try_send_tracked(body.into()).unwrap());
    pass(SECOND).await;
    assert_eq!(tickets[0].fate(), Fate::Awaiting { sent: 1 });
    net.kill("a");
    assert!(matches!(link.drain().await, Err(Ended::GaveUp(_))));
    assert!(driver.await.unwrap().is_err());
    let fates = tickets
        .each_ref()
        .map(failover_core::messaging::Ticket::fate);
    assert_eq!(fates, [Fate::Unconfirmed, Fate::Dropped(Dropped::Closed)]);
    let counters = link.counters();
    assert_eq!(
        (counters.accepted, counters.handed, counters.dropped),
        (2, 1, 1)
    );
}
