//! How many requests may be under way, and why one cannot be sent.

use std::error::Error;

use failover_core::link::{AtLoss, Bounds, Dropped, Overflow, Refusal};
use failover_core::messaging::{Link, News, RequestError};

use crate::nats::{LARGEST, Nats, NatsError, NatsServer, Publish, ask, publish};
use crate::net::{Net, lock};
use crate::{Carried, SECOND, carry, kept, pass};

fn mute() -> Net {
    let server = NatsServer::new("pass");
    lock(&server).mute = true;
    Net::default().host("a", &server)
}

type Answer = Result<Vec<u8>, RequestError<Publish>>;

fn asks(link: &Link<Nats>) -> tokio::task::JoinHandle<Answer> {
    let link = link.clone();
    tokio::spawn(async move { link.request(ask("echo", "x")).await })
}

#[tokio::test(start_paused = true)]
async fn one_request_more_than_may_be_is_refused_and_a_message_is_not() {
    let net = mute();
    let waiting = Overflow::Wait { most: None };
    for overflow in [Overflow::Reject, Overflow::DropOldest, waiting] {
        let bounds = Bounds::DEFAULT.messages(3).overflow(overflow);
        let policy = kept().bounds(bounds).at_loss(AtLoss::Wait);
        let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), policy);
        link.flush().await.unwrap();
        let asking = [(); 3].map(|()| asks(&link));
        pass(SECOND).await;
        let Err(RequestError::Refused(refused)) = link.request(ask("echo", "x")).await else {
            panic!("it was not refused");
        };
        assert_eq!(refused.refusal, Refusal::Unanswered);
        let sent = tokio::time::timeout(SECOND, link.send(publish("s", "x"))).await;
        sent.unwrap().unwrap();
        // One is answered, and one given up: there is room for two.
        net.say("a", "MSG _INBOX.1 0 3\r\nyes\r\n");
        let [first, second, _third] = asking;
        assert_eq!(first.await.unwrap().unwrap(), b"yes");
        second.abort();
        pass(SECOND).await;
        let more = [(); 3].map(|()| asks(&link));
        pass(SECOND).await;
        assert_eq!(more.map(|one| one.is_finished()), [false, false, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_protocol_cannot_write_is_told_why() {
    let net = mute();
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept());
    link.flush().await.unwrap();
    let mut news = link.news();
    let error = link.request(ask("echo", &"x".repeat(LARGEST + 1))).await;
    let error = error.unwrap_err();
    let RequestError::Unsendable(reason) = &error else {
        panic!("{error:?}");
    };
    assert!(reason.is::<NatsError>());
    let reason = error.source().unwrap().to_string();
    assert!(reason.contains("Maximum Payload"), "{reason}");
    // The same as news.
    let Some(News::Dropped { messages, why }) = news.try_next() else {
        panic!("it was not told");
    };
    assert_eq!((messages.count, why), (1, Dropped::Refused));
    let Some(News::Error(told)) = news.try_next() else {
        panic!("the reason was not told");
    };
    assert_eq!(told.to_string(), reason);
}
