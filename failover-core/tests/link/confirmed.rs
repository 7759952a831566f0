//! Confirmations that come early, or not at all.

use failover_core::link::{AtLoss, Fate, Late, Replay, Reply};
use failover_core::messaging::{News, RequestError, Ticket};

use crate::net::{self, Net, WELL, lock};
use crate::stomp::{Stomp, StompServer};
use crate::{Carried, SECOND, carry, kept, pass};

const LOGIN: usize = "CONNECT\nheart-beat:0,0\n\n\0".len();

/// A mute server, of whose first connection so many bytes behind the login are taken.
fn mute(window: usize) -> Net {
    let server = StompServer::new();
    lock(&server).mute = true;
    let net = Net::default().host("a", &server);
    net.next([net::Fate {
        window: LOGIN + window,
        ..WELL
    }]);
    net
}

fn stomp() -> Stomp {
    Stomp { beats: (0, 0) }
}

async fn settled(ticket: &Ticket<Stomp>) -> Fate {
    let settled = tokio::time::timeout(SECOND, ticket.settled()).await;
    settled.unwrap_or(ticket.fate())
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_that_comes_before_its_message_is_wholly_written_counts() {
    for replay in [Replay::Off, Replay::Bytes(1000)] {
        for breaks in [false, true] {
            let net = mute(20);
            let Carried { link, .. } = carry(&net, "a", stomp(), kept().replay(replay));
            let ticket = link.try_send_tracked("x".repeat(100)).unwrap();
            pass(SECOND).await;
            assert_eq!(ticket.fate(), Fate::Queued);
            net.say("a", "RECEIPT\nreceipt-id:1\n\n\0");
            assert_eq!(settled(&ticket).await, Fate::Confirmed);
            let counters = link.counters();
            assert_eq!((counters.queued, counters.queued_bytes), (0, 0));
            assert_eq!((counters.handed, counters.awaiting), (1, 0));
            // The rest of it follows, or never: it is not sent again.
            match breaks {
                true => net.hang_up("a"),
                false => net.widen("a", 1000),
            }
            pass(SECOND).await;
            net.widen("a", 1000);
            let second = link.try_send_tracked("y".to_string()).unwrap();
            pass(SECOND).await;
            net.say("a", "RECEIPT\nreceipt-id:2\n\n\0");
            assert_eq!(settled(&second).await, Fate::Confirmed);
            let counters = link.counters();
            assert_eq!((counters.handed, counters.replayed), (2, 0));
        }
    }
}

/// How often a request was told late: as news, and counted.
async fn told_late(window: usize, then: Late, replay: Replay) -> (usize, u64, usize) {
    let net = mute(window);
    let deadline = SECOND;
    let policy = kept().replay(replay).at_loss(AtLoss::Wait);
    let reply = Reply::Within { deadline, then };
    let Carried { link, .. } = carry(&net, "a", stomp(), policy.reply(reply));
    let mut news = link.news();
    let answer = link.request("x".repeat(100)).await;
    assert!(matches!(answer, Err(RequestError::Late)), "{answer:?}");
    // Half a deadline later all is written.
    pass(deadline / 2).await;
    net.widen("a", 1000);
    pass(deadline * 5 / 4).await;
    let mut late = 0;
    while let Some(next) = news.try_next() {
        late += usize::from(matches!(next, News::Late { .. }));
    }
    assert!(link.counters().awaiting <= 1);
    (late, link.counters().late, net.counts().0)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_to_be_confirmed_is_late_once() {
    let never = usize::MAX - LOGIN;
    for replay in [Replay::Off, Replay::Bytes(1000)] {
        for window in [20, never] {
            assert_eq!(told_late(window, Late::Report, replay).await, (1, 1, 1));
            assert_eq!(told_late(window, Late::Discard, replay).await, (0, 1, 1));
        }
    }
    // A fault is one of the connection, and its news is the loss.
    assert_eq!(told_late(never, Late::Fault, Replay::Off).await, (0, 1, 2));
}
