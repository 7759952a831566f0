//! Handles are heard while a connection that is to be left, or that says goodbye, is finished; what was asked
//! over it may still be answered, and no message goes out over two.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::directory::Endpoint;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, Fate, Late, LinkPolicy, Replay, Reply};
use failover_core::messaging::{Ended, Link, RequestError};
use failover_core::policy::Standing;
use tokio::task::JoinHandle;

use crate::nats::{Nats, NatsServer, Publish, ask, publish};
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

type Two = (Carried<Nats>, Net, [Arc<Mutex<NatsServer>>; 2]);

/// A link to two mute servers that leaves the first connection at once.
fn two_mute(grace: Duration) -> Two {
    // It has something to do at each second, also beside a connection that is left.
    let heartbeat = Heartbeat::builder().watch(SECOND, 5).build().unwrap();
    two_mute_with(grace, kept().heartbeat(heartbeat))
}

fn two_mute_with(grace: Duration, link: LinkPolicy) -> Two {
    let servers = [(); 2].map(|()| NatsServer::new("pass"));
    let [a, b] = &servers;
    lock(a).mute = true;
    lock(b).mute = true;
    let net = Net::default().host("a", a).host("b", b);
    let policy = patient().standing(Standing::default().grace(grace));
    let carried = carry_with(&net, "a b", Nats::new("pass"), link, policy);
    (carried, net, servers)
}

fn asks(link: &Link<Nats>) -> JoinHandle<Result<Vec<u8>, RequestError<Publish>>> {
    let link = link.clone();
    tokio::spawn(async move { link.request(ask("echo", "x")).await })
}

#[tokio::test(start_paused = true)]
async fn a_loss_of_the_new_connection_fails_only_what_was_asked_over_it() {
    let (Carried { link, .. }, net, _) = two_mute(60 * SECOND);
    let over_old = asks(&link);
    pass(SECOND).await;
    link.handle().reconnect_other();
    pass(SECOND).await;
    assert_eq!(net.counts(), (2, 2));
    let over_new = asks(&link);
    pass(SECOND).await;
    // What was asked over the first waits on, when a second one is left too and then ends.
    link.handle().reconnect_other();
    pass(SECOND).await;
    assert_eq!(net.counts(), (3, 3));
    net.end(1);
    pass(SECOND / 10).await;
    assert!(matches!(
        over_new.await.unwrap(),
        Err(RequestError::Lost(_))
    ));
    let over_third = asks(&link);
    pass(SECOND / 10).await;
    net.end(2);
    pass(SECOND).await;
    assert!(matches!(
        over_third.await.unwrap(),
        Err(RequestError::Lost(_))
    ));
    assert!(!over_old.is_finished());
    net.say_over(0, "MSG _INBOX.1 0 3\r\nold\r\n");
    assert_eq!(over_old.await.unwrap().unwrap(), b"old");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_of_a_connection_that_was_left_is_no_fault_of_the_next_one() {
    let reply = Reply::Within {
        deadline: 5 * SECOND,
        then: Late::Fault,
    };
    let (Carried { link, .. }, net, _) = two_mute_with(60 * SECOND, kept().reply(reply));
    let asked = asks(&link);
    pass(SECOND).await;
    link.handle().reconnect_other();
    pass(SECOND).await;
    assert_eq!(net.counts().0, 2);
    let answer = asked.await.unwrap();
    assert!(matches!(answer, Err(RequestError::Late)), "{answer:?}");
    pass(SECOND).await;
    assert_eq!(net.counts().0, 2, "the next one was given up");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_left_connection_that_ended_behind_a_full_reader_is_heard() {
    let (Carried { link, .. }, net, _) = two_mute(60 * SECOND);
    let mut reader = Nats::subscribe(&link, "news", 1);
    let asked = asks(&link);
    pass(SECOND).await;
    link.handle().reconnect_other();
    pass(SECOND).await;
    net.say_over(0, "MSG news 1 1\r\nx\r\n".repeat(2));
    net.say_over(0, "MSG _INBOX.1 0 3\r\nold\r\n");
    net.end(0);
    pass(SECOND).await;
    for _ in 0..2 {
        assert_eq!(reader.next().await.unwrap(), b"x");
    }
    assert_eq!(asked.await.unwrap().unwrap(), b"old");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_left_already_does_not_drain_the_next_one() {
    let (Carried { link, .. }, net, _) = two_mute(60 * SECOND);
    let _asked = asks(&link);
    pass(SECOND).await;
    net.say_over(0, "INFO {\"ldm\":true}\r\n");
    pass(10 * SECOND).await;
    assert_eq!(net.counts(), (2, 2));
    net.say_over(0, "INFO {\"ldm\":true}\r\n");
    pass(10 * SECOND).await;
    assert_eq!(net.counts(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_half_written_when_its_connection_is_left_reaches_one_server() {
    let login = "CONNECT pass\r\nPING\r\nSUB _INBOX.* 0\r\n".len();
    let message = "PUB s 5\r\nwhole\r\n".len();
    for grace in [Duration::ZERO, SECOND] {
        for cut in 0..=message {
            let (Carried { link, .. }, net, servers) = two_mute(grace);
            net.next([net::Fate {
                window: login + cut,
                ..WELL
            }]);
            let ticket = link.try_send_tracked(publish("s", "whole")).unwrap();
            pass(SECOND).await;
            link.handle().reconnect_other();
            // The first server reads on as soon as the second one stands.
            while net.counts().0 < 2 {
                pass(SECOND / 1000).await;
            }
            net.widen("a", 1000);
            net.widen("b", 1000);
            assert_eq!(ticket.settled().await, Fate::Handed);
            pass(10 * SECOND).await;
            let got = servers.each_ref().map(|server| lock(server).payloads());
            assert_eq!(got.concat(), ["whole"], "{cut} bytes were written");
            assert_eq!(net.counts(), (2, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_half_written_when_its_connection_is_left_goes_out_over_the_next_one() {
    let (a, b) = (StompServer::new(), StompServer::new());
    lock(&a).mute = true;
    lock(&b).mute = true;
    let net = Net::default().host("a", &a).host("b", &b);
    let link = kept().replay(Replay::Bytes(100)).at_loss(AtLoss::Wait);
    let policy = patient().standing(Standing::default().grace(SECOND));
    let protocol = Stomp { beats: (0, 0) };
    let Carried { link, driver: _d } = carry_with(&net, "a b", protocol, link, policy);
    link.try_send("x".into()).unwrap();
    pass(SECOND).await;
    net.next([net::Fate {
        window: "CONNECT\nheart-beat:0,0\n\n\0".len() + 3,
        ..WELL
    }]);
    net.end(0);
    pass(SECOND).await;
    assert_eq!(
        net.counts(),
        (2, 1),
        "the replay waits for the second server"
    );
    link.handle().reconnect_other();
    // Until the grace is over, the rest may still go out.
    pass(3 * SECOND).await;
    net.widen("a", 1000);
    net.widen("b", 1000);
    pass(10 * SECOND).await;
    let all = [&a, &b].map(|server| lock(server).bodies.len());
    assert_eq!(all.iter().sum::<usize>(), 2, "{all:?}");
    assert_eq!(all.iter().max(), Some(&2), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_after_the_goodbye_is_heard_no_more() {
    let (Carried { link, .. }, net, _) = two_mute(SECOND);
    let taken = "CONNECT pass\r\nPING\r\nSUB _INBOX.* 0\r\nSUB news 1\r\n".len();
    net.next([net::Fate {
        window: taken,
        ..WELL
    }]);
    let mut reader = Nats::subscribe(&link, "news", 10);
    pass(SECOND).await;
    // Its answer cannot be written, so that the goodbye waits behind it.
    net.say_over(0, "PING\r\n");
    pass(SECOND).await;
    link.handle().reconnect_other();
    pass(2 * SECOND).await;
    assert_eq!(net.counts(), (2, 2));
    net.say_over(0, "MSG news 1 3\r\nold\r\n");
    pass(SECOND).await;
    net.say_over(1, "MSG news 1 3\r\nnew\r\n");
    assert_eq!(reader.next().await.unwrap(), b"new");
    assert_eq!(net.unread_by_client(), 0);
    pass(10 * SECOND).await;
    assert_eq!(net.counts(), (2, 1));
}
