//! Subscriptions, requests, flushes, heartbeats, hints of the server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::failure::Kind;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{
    AtLoss, Bounds, Dropped, Fate, Late, LinkPolicy, Outbox, Overflow, Refusal, Reply, Resumption,
};
use failover_core::messaging::{FlushError, News, RequestError};
use failover_core::policy::Standing;

use crate::nats::{LARGEST, Nats, NatsServer, ask, publish};
use crate::net::{self, Net, Server, WELL, lock};
use crate::stomp::{Stomp, StompServer};
use crate::{Carried, SECOND, carry, carry_with, kept, pass, patient};

#[tokio::test(start_paused = true)]
async fn it_subscribes_anew_before_it_sends_what_waited() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept());
    let mut reader = Nats::subscribe(&link, "news", 10);
    link.flush().await.unwrap();
    net.say("a", "MSG news 1 5\r\nfirst\r\n");
    assert_eq!(reader.next().await.unwrap(), b"first");

    net.kill("a");
    pass(SECOND).await;
    link.try_send(publish("s", "waited")).unwrap();
    lock(&server).log.clear();
    net.revive("a");
    link.flush().await.unwrap();
    let expected = ["SUB _INBOX.* 0", "SUB news 1", "PUB waited"];
    assert_eq!(lock(&server).log, expected);

    drop(reader);
    link.flush().await.unwrap();
    assert_eq!(lock(&server).log.last().unwrap(), "UNSUB 1");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_stops_the_reading_and_not_the_heartbeat() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    let heartbeat = Heartbeat::builder().watch(SECOND, 1).build().unwrap();
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept().heartbeat(heartbeat));
    let mut reader = Nats::subscribe(&link, "news", 2);
    link.flush().await.unwrap();
    for number in 0..10 {
        net.say("a", format!("MSG news 1 1\r\n{number}\r\n"));
    }
    pass(60 * SECOND).await;
    for number in 0..10 {
        assert_eq!(reader.next().await.unwrap(), format!("{number}").as_bytes());
    }
    link.flush().await.unwrap();
    assert_eq!(net.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_whichever_server_it_goes_to() {
    let (a, b) = (NatsServer::new("pass"), NatsServer::new("pass"));
    let net = Net::default().host("a", &a).host("b", &b);
    let Carried { link, .. } = carry(&net, "a b", Nats::new("pass"), kept());
    assert_eq!(link.request(ask("echo", "one")).await.unwrap(), b"one");
    net.kill("a");
    net.kill("b");
    let asked = link.request(ask("echo", "two"));
    let mended = async {
        pass(SECOND).await;
        net.revive("b");
    };
    let (answer, ()) = tokio::join!(asked, mended);
    assert_eq!(answer.unwrap(), b"two");
}

/// Asks a mute server, breaks the connection after a second; the outcome and when it came.
async fn ask_and_lose(policy: LinkPolicy) -> (Result<Vec<u8>, RequestError<()>>, Duration) {
    let server = NatsServer::new("pass");
    lock(&server).mute = true;
    let net = Net::default().host("a", &server);
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), policy);
    let start = tokio::time::Instant::now();
    let lose = async {
        pass(SECOND).await;
        net.hang_up("a");
    };
    let (answer, ()) = tokio::join!(link.request(ask("echo", "x")), lose);
    let answer = answer.map_err(|error| match error {
        RequestError::Lost(failure) => RequestError::Lost(failure),
        RequestError::Late => RequestError::Late,
        other => panic!("{other:?}"),
    });
    (answer, Duration::from_secs(start.elapsed().as_secs()))
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_fails_at_once_with_the_reason_or_waits_as_chosen() {
    let (answer, after) = ask_and_lose(kept()).await;
    let Err(RequestError::Lost(failure)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!((failure.kind, after), (Kind::Closed, SECOND));

    let deadline = 5 * SECOND;
    let reply = Reply::Within {
        deadline,
        then: Late::Discard,
    };
    let (answer, after) = ask_and_lose(kept().at_loss(AtLoss::Wait).reply(reply)).await;
    assert!(matches!(answer, Err(RequestError::Late)));
    assert_eq!(after, deadline);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_before_it_was_sent_is_never_sent() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    net.kill("a");
    let reply = Reply::Within {
        deadline: SECOND,
        then: Late::Report,
    };
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept().reply(reply));
    let mut news = link.news();
    let late = link.request(ask("s", "late")).await;
    assert!(matches!(late, Err(RequestError::Late)), "{late:?}");
    let cancelled = tokio::time::timeout(SECOND / 2, link.request(ask("s", "cancelled")));
    cancelled.await.unwrap_err();
    link.try_send(publish("s", "sent")).unwrap();
    assert_eq!(
        (link.counters().queued_bytes, link.counters().dropped),
        (4, 2)
    );
    net.revive("a");
    link.flush().await.unwrap();
    assert_eq!(lock(&server).payloads(), ["sent"]);
    let gone = std::iter::from_fn(|| news.try_next()).find_map(|news| match news {
        News::Dropped { why, .. } => Some(why),
        _ => None,
    });
    assert_eq!(gone, Some(Dropped::Withdrawn));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_late_is_reported_dropped_or_a_fault_of_the_server() {
    for (then, conns, reported) in [
        (Late::Discard, 1, 0),
        (Late::Report, 1, 1),
        (Late::Fault, 2, 0),
    ] {
        let server = NatsServer::new("pass");
        lock(&server).mute = true;
        let net = Net::default().host("a", &server);
        let deadline = SECOND;
        let policy = kept().reply(Reply::Within { deadline, then });
        let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), policy);
        link.flush().await.unwrap();
        let mut news = link.news();
        let late = link.request(ask("echo", "x")).await.unwrap_err();
        assert!(matches!(late, RequestError::Late), "{late:?}");
        pass(SECOND).await;
        assert_eq!((net.counts().0, net.counts().1), (conns, 1), "{then:?}");
        let told = std::iter::from_fn(|| news.try_next());
        let told = told
            .filter(|news| matches!(news, News::Late { .. }))
            .count();
        assert_eq!((told, link.counters().late), (reported, 1), "{then:?}");
        // The answer that comes too late goes to nobody.
        net.say("a", "MSG _INBOX.1 0 1\r\nx\r\n");
        link.flush().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_fails_with_the_connection_or_waits_for_the_next_as_chosen() {
    for (at_loss, fails) in [(AtLoss::Fail, true), (AtLoss::Wait, false)] {
        let server = NatsServer::new("pass");
        let net = Net::default().host("a", &server);
        let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept().at_loss(at_loss));
        link.flush().await.unwrap();
        net.freeze("a");
        link.try_send(publish("s", "x")).unwrap();
        let lose = async {
            pass(SECOND).await;
            net.hang_up("a");
        };
        let (flushed, ()) = tokio::join!(link.flush(), lose);
        match flushed {
            Err(FlushError::Lost(failure)) => {
                assert_eq!((failure.kind, fails), (Kind::Closed, true))
            }
            other => assert!(other.is_ok() && !fails),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_is_left_within_the_heartbeats_bound_and_nobody_waits_for_it() {
    let (a, b) = (NatsServer::new("pass"), NatsServer::new("pass"));
    let net = Net::default().host("a", &a).host("b", &b);
    let heartbeat = Heartbeat::builder().watch(SECOND, 1).build().unwrap();
    let policy = kept().heartbeat(heartbeat).at_loss(AtLoss::Wait);
    let Carried { link, .. } = carry(&net, "a b", Nats::new("pass"), policy);
    link.flush().await.unwrap();
    let of = |host: &str| net.counts().0 + host.len();
    let before = of("a");
    net.freeze("a");
    net.freeze("b");
    let start = tokio::time::Instant::now();
    link.flush().await.unwrap();
    let bound = heartbeat.bound().unwrap();
    assert!(
        start.elapsed() <= bound + SECOND / 5,
        "{:?}",
        start.elapsed()
    );
    assert_eq!(of("a"), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_in_is_left_at_the_write_deadline() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    net.next([net::Fate { window: 50, ..WELL }]);
    let heartbeat = Heartbeat::builder().write_deadline(SECOND).build().unwrap();
    let policy = kept().heartbeat(heartbeat);
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), policy);
    let ticket = link
        .try_send_tracked(publish("s", "x".repeat(100)))
        .unwrap();
    pass(SECOND * 9 / 10).await;
    assert_eq!((ticket.fate(), net.counts().0), (Fate::Queued, 1));
    assert_eq!(ticket.settled().await, Fate::Handed);
    assert_eq!(net.counts(), (2, 1));
    assert_eq!(lock(&server).payloads(), ["x".repeat(100)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_that_takes_one_message_after_the_other_is_not_left() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    net.next([net::Fate { window: 50, ..WELL }]);
    let heartbeat = Heartbeat::builder().write_deadline(SECOND).build().unwrap();
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept().heartbeat(heartbeat));
    for _ in 0..30 {
        link.try_send(publish("s", "x".repeat(100))).unwrap();
    }
    // The buffer is never empty for ten times the deadline, and no message takes as long as that.
    for _ in 0..20 {
        pass(SECOND / 2).await;
        assert!(lock(&server).published.len() < 30);
        net.widen("a", 120);
    }
    assert_eq!(net.counts(), (1, 1));
    assert!(lock(&server).published.len() > 15);
}

#[tokio::test(start_paused = true)]
async fn a_pong_answers_the_oldest_ping() {
    let asks = Heartbeat::builder().watch(SECOND, 5).build().unwrap();
    // A sign of life that the peer answers, too.
    let beats = Heartbeat::builder().beat(SECOND).build().unwrap();
    for heartbeat in [asks, beats] {
        let server = NatsServer::new("pass");
        let net = Net::default().host("a", &server);
        let policy = kept().heartbeat(heartbeat);
        let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), policy);
        link.flush().await.unwrap();
        net.freeze("a");
        pass(SECOND * 3 / 2).await;
        // The heartbeat has asked once; now a flush asks, and one answer comes.
        let flushing = tokio::spawn({
            let link = link.clone();
            async move { link.flush().await }
        });
        pass(SECOND / 10).await;
        net.say("a", "PONG\r\n");
        pass(SECOND / 10).await;
        assert!(!flushing.is_finished());
        net.say("a", "PONG\r\n");
        flushing.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_server_refuses_fails_at_once() {
    let server = NatsServer::new("pass");
    lock(&server).mute = true;
    let net = Net::default().host("a", &server);
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept());
    let asking = tokio::spawn({
        let link = link.clone();
        async move { link.request(ask("s", "x")).await }
    });
    pass(SECOND).await;
    net.say("a", "-NO 1\r\n");
    let refused = asking.await.unwrap();
    assert!(
        matches!(refused, Err(RequestError::RefusedByPeer)),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_lies_behind_a_full_reader_is_late_and_no_fault_of_the_server() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    let reply = Reply::Within {
        deadline: SECOND,
        then: Late::Fault,
    };
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept().reply(reply));
    let mut reader = Nats::subscribe(&link, "news", 2);
    link.flush().await.unwrap();
    for number in 0..3 {
        net.say("a", format!("MSG news 1 1\r\n{number}\r\n"));
    }
    pass(SECOND / 10).await;
    let late = link.request(ask("s", "x")).await;
    assert!(matches!(late, Err(RequestError::Late)), "{late:?}");
    for number in 0..3 {
        assert_eq!(reader.next().await.unwrap(), format!("{number}").as_bytes());
    }
    link.flush().await.unwrap();
    assert_eq!(net.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn stomp_beats_as_agreed_and_notices_silence() {
    let server = StompServer::new();
    let net = Net::default().host("a", &server);
    let protocol = Stomp { beats: (2000, 0) };
    let Carried { link, .. } = carry(&net, "a", protocol, kept());
    pass(20 * SECOND).await;
    // Every 2 s, a tenth earlier to be in time.
    assert_eq!(lock(&server).beats, 11);
    assert_eq!(net.counts(), (1, 1));
    drop(link);

    // Its own beats never come.
    let protocol = Stomp { beats: (0, 3000) };
    let Carried { link, .. } = carry(&net, "a", protocol, kept());
    pass(Duration::from_millis(5900)).await;
    assert_eq!(net.counts(), (2, 1));
    pass(SECOND).await;
    assert_eq!(net.counts(), (3, 1));
    drop(link);
}

#[tokio::test(start_paused = true)]
async fn no_call_waits_for_a_dial_and_the_outbox_keeps_to_its_bound() {
    let net = Net::default();
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept());
    let mut accepted = 0;
    let refused = loop {
        match link.try_send(publish("s", "x".repeat(900))) {
            Ok(_) => accepted += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((accepted, refused.refusal), (11, Refusal::Full));
    assert_eq!(link.counters().queued_bytes, 9900);
    // By the policy it does not wait either: a full outbox rejects.
    assert_eq!(
        link.send(refused.message).await.unwrap_err().refusal,
        Refusal::Full
    );

    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), LinkPolicy::OFF);
    let refused = link.send(publish("s", "x")).await.unwrap_err();
    assert_eq!(refused.refusal, Refusal::NoConnection);
}

#[tokio::test(start_paused = true)]
async fn senders_wait_in_their_order_for_room_and_for_a_connection_or_until_their_patience_ends() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    let most = Some(2 * SECOND);
    for policy in [
        LinkPolicy::OFF.outbox(Outbox::Wait { most }),
        LinkPolicy::OFF
            .outbox(Outbox::Keep { bytes: 1 })
            .bounds(Bounds::DEFAULT.overflow(Overflow::Wait { most })),
    ] {
        net.kill("a");
        lock(&server).published.clear();
        let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), policy);
        let _ = link.try_send(publish("s", "0"));
        let start = tokio::time::Instant::now();
        let refused = link.send(publish("s", "x")).await.unwrap_err();
        assert!(matches!(
            refused.refusal,
            Refusal::Full | Refusal::NoConnection
        ));
        assert_eq!(start.elapsed().as_secs(), 2);

        let senders = ["1", "2", "3", "4"].map(|body| {
            let link = link.clone();
            tokio::spawn(async move { link.send(publish("s", body)).await.unwrap() })
        });
        pass(SECOND).await;
        net.revive("a");
        let revived = tokio::time::Instant::now();
        for sender in senders {
            sender.await.unwrap();
        }
        link.flush().await.unwrap();
        assert!(revived.elapsed() < SECOND / 2, "{:?}", revived.elapsed());
        let got = lock(&server).payloads().concat();
        assert!(got.ends_with("1234"), "{got}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_message_does_not_overtake_a_large_one_that_waits_for_room() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    net.kill("a");
    let policy = LinkPolicy::OFF
        .outbox(Outbox::Keep { bytes: 10 })
        .bounds(Bounds::DEFAULT.overflow(Overflow::Wait { most: None }));
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), policy);
    let senders = ["first", "large...", "x"].map(|body| {
        let link = link.clone();
        tokio::spawn(async move { link.send(publish("s", body)).await.unwrap() })
    });
    pass(SECOND).await;
    assert_eq!(link.counters().accepted, 1);
    net.revive("a");
    for sender in senders {
        sender.await.unwrap();
    }
    link.flush().await.unwrap();
    assert_eq!(lock(&server).payloads(), ["first", "large...", "x"]);
}

/// Says something right behind its answer to the login.
struct Eager(Arc<Mutex<NatsServer>>);

impl Server for Eager {
    fn open(&mut self, conn: usize, out: &mut Vec<u8>) {
        lock(&self.0).open(conn, out);
    }

    fn hear(&mut self, conn: usize, unread: &mut Vec<u8>, out: &mut Vec<u8>) {
        lock(&self.0).hear(conn, unread, out);
        if out.ends_with(b"PONG\r\n") {
            out.extend_from_slice(b"MSG news 1 5\r\nfirst\r\n");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_with_the_answer_to_the_login_is_heard() {
    let eager = Arc::new(Mutex::new(Eager(NatsServer::new("pass"))));
    let net = Net::default().host("a", &eager);
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept());
    let mut reader = Nats::subscribe(&link, "news", 10);
    let heard = tokio::time::timeout(SECOND, reader.next()).await;
    assert_eq!(heard.unwrap().unwrap(), b"first");
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_is_left_before_it_closes() {
    let (a, b) = (NatsServer::new("pass"), NatsServer::new("pass"));
    let net = Net::default().host("a", &a).host("b", &b);
    let Carried { link, .. } = carry(&net, "a b", Nats::new("pass"), kept());
    link.flush().await.unwrap();
    let from_a = net.counts();
    assert_eq!(from_a, (1, 1));
    net.say("a", "INFO {\"ldm\":true}\r\n");
    net.say("b", "INFO {\"ldm\":true}\r\n");
    pass(30 * SECOND).await;
    link.try_send(publish("s", "after")).unwrap();
    link.flush().await.unwrap();
    assert_eq!(net.counts(), (2, 1));
    let (a, b) = (lock(&a).published.len(), lock(&b).published.len());
    assert_eq!(a + b, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_a_move_is_answered_by_the_server_that_was_left() {
    let (a, b) = (NatsServer::new("pass"), NatsServer::new("pass"));
    lock(&a).mute = true;
    lock(&b).mute = true;
    let net = Net::default().host("a", &a).host("b", &b);
    let grace = 5 * SECOND;
    let standing = Standing::default().grace(grace).drain_spread(SECOND);
    let policy = patient().standing(standing);
    let Carried { link, .. } = carry_with(&net, "a b", Nats::new("pass"), kept(), policy);
    let moves = async {
        pass(SECOND).await;
        net.say("a", "INFO {\"ldm\":true}\r\n");
        net.say("b", "INFO {\"ldm\":true}\r\n");
        pass(3 * SECOND).await;
        // Both connections stand, and what is sent goes over the new one.
        assert_eq!(net.counts(), (2, 2));
        link.try_send(publish("s", "new")).unwrap();
        link.flush().await.unwrap();
        assert_eq!(lock(&a).published.len() + lock(&b).published.len(), 2);
        net.say("a", "MSG _INBOX.1 0 3\r\nold\r\n");
        net.say("b", "MSG _INBOX.1 0 3\r\nold\r\n");
        pass(SECOND / 10).await;
        assert_eq!(net.counts(), (2, 1));
    };
    let (answer, ()) = tokio::join!(link.request(ask("echo", "x")), moves);
    assert_eq!(answer.unwrap(), b"old");
}

#[tokio::test(start_paused = true)]
async fn servers_that_a_server_names_are_dialled_when_it_is_gone() {
    let (a, b) = (NatsServer::new("pass"), NatsServer::new("pass"));
    let net = Net::default().host("a", &a).host("b", &b);
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept());
    link.flush().await.unwrap();
    net.say("a", "INFO urls=a:1,b:1\r\n");
    pass(10 * SECOND).await;
    net.kill("a");
    pass(SECOND).await;
    link.try_send(publish("s", "x")).unwrap();
    link.flush().await.unwrap();
    assert_eq!(lock(&b).payloads(), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_concerns_no_connection_is_news_and_the_connection_stays() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept());
    let mut news = link.news();
    link.flush().await.unwrap();
    let Some(News::Connected { resumption, .. }) = news.next().await else {
        panic!("not connected");
    };
    assert_eq!(resumption, Resumption::Fresh);
    net.say("a", "-ERR 'Permissions Violation for Publish'\r\n");
    let Some(News::Error(error)) = news.next().await else {
        panic!("no error");
    };
    assert!(error.to_string().contains("Permissions"));

    // One that this server does not take: refused and told, and no endless reconnect.
    let ticket = link
        .try_send_tracked(publish("s", "x".repeat(LARGEST + 1)))
        .unwrap();
    assert!(matches!(ticket.settled().await, Fate::Dropped(_)));
    assert!(matches!(
        news.next().await,
        Some(News::Error(_) | News::Dropped { .. })
    ));
    let invalid = link.try_send(publish("a b", "x")).unwrap_err();
    assert!(invalid.to_string().contains("no spaces"));
    link.flush().await.unwrap();
    assert_eq!(net.counts(), (1, 1));
}
