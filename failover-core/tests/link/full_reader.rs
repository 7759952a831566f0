//! A reader that is full stops the reading; the end of its connection is noticed all the same, after the grace.

use std::time::Duration;

use failover_core::heartbeat::Heartbeat;
use failover_core::link::LinkPolicy;
use failover_core::messaging::{Inbox, Link, RequestError};

use crate::nats::{Nats, NatsServer, ask, publish};
use crate::net::{Net, lock};
use crate::{Carried, SECOND, carry, kept, pass};

/// A link to `a` with a reader that has room for two of so many messages.
async fn blocked(policy: LinkPolicy, messages: usize) -> (Net, Carried<Nats>, Inbox<Vec<u8>>) {
    let net = Net::default().host("a", &NatsServer::new("pass"));
    let carried = carry(&net, "a", Nats::new("pass"), policy);
    let reader = Nats::subscribe(&carried.link, "news", 2);
    carried.link.flush().await.unwrap();
    for number in 0..messages {
        net.say("a", format!("MSG news 1 4\r\n{number:04}\r\n"));
    }
    pass(SECOND / 10).await;
    (net, carried, reader)
}

async fn read(reader: &mut Inbox<Vec<u8>>, messages: usize) {
    for number in 0..messages {
        let next = tokio::time::timeout(SECOND, reader.next()).await;
        assert_eq!(next.unwrap().unwrap(), format!("{number:04}").as_bytes());
    }
}

fn watching(interval: Duration) -> Heartbeat {
    Heartbeat::builder().watch(interval, 1).build().unwrap()
}

/// A new connection carries, while nobody has read anything.
async fn has_moved(net: &Net, link: &Link<Nats>, within: Duration) {
    let flushed = tokio::time::timeout(within, link.flush()).await;
    flushed.unwrap().unwrap();
    assert_eq!(net.counts(), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn before_an_end_behind_a_full_reader_nothing_is_lost_if_it_reads_within_the_grace() {
    for kills in [false, true] {
        let (net, Carried { link, .. }, mut reader) = blocked(kept(), 10).await;
        match kills {
            true => {
                net.kill("a");
                net.revive("a");
            }
            false => net.hang_up("a"),
        }
        pass(SECOND / 2).await;
        read(&mut reader, 10).await;
        pass(SECOND / 10).await;
        has_moved(&net, &link, SECOND).await;
        net.say("a", "MSG news 1 4\r\n0000\r\n");
        read(&mut reader, 1).await;
        link.drain().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_behind_a_reader_that_stays_full_is_an_end_after_the_grace() {
    let (net, Carried { link, .. }, mut reader) = blocked(kept(), 10).await;
    net.hang_up("a");
    pass(SECOND / 2).await;
    assert_eq!(net.counts().0, 1);
    pass(SECOND).await;
    has_moved(&net, &link, SECOND).await;
    // As much as there was room for.
    read(&mut reader, 2).await;
    net.say("a", "MSG news 1 4\r\n0000\r\n");
    read(&mut reader, 1).await;
}

#[tokio::test(start_paused = true)]
async fn silence_behind_a_full_reader_is_noticed_by_the_heartbeat() {
    let policy = kept().heartbeat(watching(SECOND));
    let (net, Carried { link, .. }, _reader) = blocked(policy, 10).await;
    net.freeze("a");
    pass(watching(SECOND).bound().unwrap() + SECOND).await;
    has_moved(&net, &link, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_is_heard_if_it_is_read_within_the_grace() {
    for (after, is_heard) in [(SECOND / 2, true), (2 * SECOND, false)] {
        let server = NatsServer::new("pass");
        lock(&server).mute = true;
        let net = Net::default().host("a", &server);
        let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept());
        let mut reader = Nats::subscribe(&link, "news", 1);
        link.flush().await.unwrap();
        let asking = tokio::spawn({
            let link = link.clone();
            async move { link.request(ask("echo", "x")).await }
        });
        pass(SECOND / 10).await;
        net.say("a", "MSG news 1 4\r\n0000\r\n".repeat(2));
        net.say("a", "MSG _INBOX.1 0 3\r\nyes\r\n");
        net.hang_up("a");
        pass(after).await;
        assert_eq!(asking.is_finished(), !is_heard);
        read(&mut reader, 1).await;
        if is_heard {
            read(&mut reader, 1).await;
        }
        match asking.await.unwrap() {
            Ok(answer) => assert_eq!((answer.as_slice(), is_heard), (b"yes".as_slice(), true)),
            Err(RequestError::Lost(_)) => assert!(!is_heard),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_for_a_full_reader_is_bounded_and_its_server_is_asked_on() {
    let policy = kept().heartbeat(watching(SECOND));
    let (net, Carried { link, .. }, mut reader) = blocked(policy, 2000).await;
    // A frame has 5000 bytes at most here.
    assert!(net.unread_by_client() > 2000 * 20 - 3 * 5000);
    pass(60 * SECOND).await;
    assert_eq!(net.counts(), (1, 1), "its silence was judged");
    // What is said behind all that is not read; that it is broken a ping finds out.
    net.hang_up("a");
    pass(2 * SECOND).await;
    link.try_send(publish("s", "x")).unwrap();
    has_moved(&net, &link, SECOND).await;
    read(&mut reader, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stays_full_does_not_hold_a_drain_up() {
    let (net, Carried { link, driver }, _reader) = blocked(kept(), 10).await;
    net.hang_up("a");
    pass(SECOND).await;
    let drained = tokio::time::timeout(SECOND, link.drain()).await;
    drained.unwrap().unwrap();
    driver.await.unwrap().unwrap();
}
