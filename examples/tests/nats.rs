//! The NATS client on the link, against servers that follow a script: what no real one can be asked for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod common;

use std::time::{Duration, Instant};

use examples::nats::{Nats, Publish, dialer, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, What};
use failover_core::failure::Kind;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, LinkPolicy, Outbox};
use failover_core::machine::Why;
use failover_core::messaging::{Link, Login, News, Room, open};
use failover_core::policy::{Order, Policy, Walk};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use transport_tcp::TokioClock;
use transport_tls::{TlsClient, TlsConfig};

use crate::common::Place;

#[tokio::test]
async fn a_greeting_of_garbage_is_a_clear_error_and_the_next_server_serves() {
    for (greeting, kind, why) in [
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            Kind::Protocol,
            "no INFO",
        ),
        ("INFO {half\r\n", Kind::Protocol, "an INFO that is no JSON"),
        (
            "INFO {}\r\n-ERR 'Authorization Violation'\r\n",
            Kind::Auth,
            "Authorization",
        ),
        ("INFO {}\r\nHELLO\r\n", Kind::Protocol, "no such operation"),
    ] {
        let (odd, fine) = (Server::new().await, Server::new().await);
        let mut client = Client::new(&[odd.url(), fine.url()]);
        let mut held = odd.accept().await;
        held.say(greeting).await;
        let _serving = fine.welcome("{}").await;
        let (found, said) = client.failed_dial().await;
        assert_eq!(found, kind, "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn half_a_greeting_and_silence_costs_one_deadline() {
    let (mute, fine) = (Server::new().await, Server::new().await);
    let mut client = Client::new(&[mute.url(), fine.url()]);
    let began = Instant::now();
    let mut held = mute.accept().await;
    held.say("INFO {\"server_id\":").await;
    let _serving = fine.welcome("{}").await;
    let took = began.elapsed();
    assert!(took >= DEADLINE && took < DEADLINE * 3, "{took:?}");
    let (kind, said) = client.failed_dial().await;
    assert_eq!(kind, Kind::Timeout);
    assert!(
        said.ends_with(", while waiting for the server's INFO"),
        "{said}"
    );
}

#[tokio::test]
async fn a_session_survives_what_breaks_one_connection_and_no_message_is_lost_in_silence() {
    let huge = format!("MSG news 2 99999999\r\n{}", "x".repeat(1_100_000));
    for (said, kind) in [
        ("\u{1}\u{2}\u{3}\r\n".to_string(), Kind::Protocol),
        ("MSG news 2 5\r\nhello".to_string() + "xx", Kind::Protocol),
        // Half a frame, then silence: the heartbeat's affair.
        ("MSG news 2 5\r\nhel".to_string(), Kind::Stale),
        // More than is taken in.
        (huge, Kind::Protocol),
        ("-ERR 'Stale Connection'\r\n".to_string(), Kind::Stale),
    ] {
        let (odd, fine) = (Server::new().await, Server::new().await);
        let mut client = Client::new(&[odd.url(), fine.url()]);
        let mut reader = subscribe(&client.link, "news", ROOM).unwrap();
        let mut peer = odd.welcome("{}").await;
        peer.hear("SUB news 2").await;
        let began = Instant::now();
        // It may close before it has read all of that.
        let _ = peer.0.write_all(said.as_bytes()).await;
        let mut peer = fine.welcome("{}").await;
        assert!(began.elapsed() < Duration::from_secs(5), "{said:.20}");
        let ticket = client.link.try_send_tracked(Publish::to("x", "after"));
        peer.hear("SUB news 2").await;
        peer.hear("PUB x 5").await;
        assert!(within(ticket.unwrap().settled()).await.is_settled());
        peer.say("MSG news 2 5\r\nagain\r\n").await;
        assert_eq!(within(reader.next()).await.unwrap().payload, "again");
        assert_eq!(client.lost().await, kind, "{said:.20}");
    }
}

#[tokio::test]
async fn ten_thousand_urls_in_an_info_are_bounded_and_soon_done() {
    let server = Server::new().await;
    let client = Client::new(&[server.url()]);
    let urls: Vec<String> = (0..10_000)
        .map(|number| format!("\"10.{}.{}.1:4222\"", number / 250, number % 250))
        .collect();
    let info = format!("{{\"connect_urls\":[{}]}}", urls.join(","));
    let mut peer = server.welcome(&info).await;
    let began = Instant::now();
    within(async {
        let flushing = tokio::spawn({
            let link = client.link.clone();
            async move { link.flush().await.unwrap() }
        });
        peer.hear("PING").await;
        peer.say("PONG\r\n").await;
        flushing.await.unwrap();
    })
    .await;
    // Lists that come all the time are taken in one at a time.
    let _ = timeout(Duration::from_secs(2), peer.hear("nothing more")).await;
    let known = client.link.handle().snapshot().endpoints.len();
    // As many as are learned by default, and the one that was given.
    assert!(known > 1 && known <= 257, "{known}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    client.link.try_send(Publish::to("x", "after")).unwrap();
    peer.hear("PUB x 5").await;
}

#[tokio::test]
async fn servers_that_send_their_clients_on_for_ever_are_not_dialled_in_a_hot_loop() {
    let servers = [Server::new().await, Server::new().await];
    let urls = servers.each_ref().map(Server::url);
    let client = Client::new(&urls);
    let names = urls.each_ref().map(|url| url.replace("nats://", ""));
    let info = format!("{{\"ldm\":true,\"connect_urls\":{names:?}}}");
    let mut logins = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let [a, b] = &servers;
        let accepted = tokio::select! {
            peer = a.0.accept() => peer,
            peer = b.0.accept() => peer,
            () = tokio::time::sleep(Duration::from_millis(100)) => continue,
        };
        logins += 1;
        let info = info.clone();
        tokio::spawn(async move {
            let mut peer = Peer(BufReader::new(accepted.unwrap().0));
            peer.say("INFO {}\r\n").await;
            peer.hear("PING").await;
            peer.say("PONG\r\n").await;
            // A lame duck from the beginning, which names the others.
            peer.say(&format!("INFO {info}\r\n")).await;
            let mut rest = Vec::new();
            let _ = peer.0.read_to_end(&mut rest).await;
        });
    }
    assert!((1..=20).contains(&logins), "{logins} logins in 3 s");
    // Redirects of a WebSocket server are not followed unless that is asked for.
    drop(client);
    let (web, fine) = (Server::new().await, Server::new().await);
    let url = web.url().replace("nats://", "ws://") + "/";
    let mut client = Client::new(&[url.clone(), fine.url()]);
    let mut peer = web.accept().await;
    let found = format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
    peer.say(&found).await;
    let _serving = fine.welcome("{}").await;
    let (_, said) = client.failed_dial().await;
    assert!(said.contains("302"), "{said}");
}

const ROOM: Room = Room {
    items: 100,
    bytes: 1 << 20,
};

/// Of one dial.
const DEADLINE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn tls_first_hears_the_greeting_through_tls_and_leaves_a_server_that_greets_before_it() {
    // nats-server has `handshake_first` from 2.11 on; Debian's is older.
    let place = Place::new();
    let (clear, first) = (Server::new().await, Server::new().await);
    let urls = [clear.url(), first.url()].map(|url| url.replace("nats:", "tls-first:"));
    let mut client = Client::trusting(&place.tls(), &urls);
    let mut held = clear.accept().await;
    held.say("INFO {}\r\n").await;
    let (stream, _) = within(first.0.accept()).await.unwrap();
    let stream = within(place.acceptor().accept(stream)).await.unwrap();
    let mut peer = Peer(BufReader::new(stream));
    peer.say("INFO {\"tls_required\":true}\r\n").await;
    peer.hear("PING").await;
    peer.say("PONG\r\n").await;
    client.link.try_send(Publish::to("a", "hello")).unwrap();
    peer.hear("hello").await;
    let (kind, said) = client.failed_dial().await;
    assert_eq!(kind, Kind::Tls, "{said}");
}

#[tokio::test]
async fn a_slow_subscriber_loses_the_newest_is_told_once_and_the_connection_stays() {
    let server = Server::new().await;
    let mut client = Client::new(&[server.url()]);
    let mut news = client.link.news();
    let room = Room {
        items: 2,
        bytes: 1 << 16,
    };
    let mut slow = subscribe(&client.link, "n", room).unwrap();
    let mut fine = subscribe(&client.link, "m", ROOM).unwrap();
    let mut peer = server.welcome("{}").await;
    peer.hear("SUB m 3").await;
    for number in 0..5 {
        peer.say(&format!("MSG n 2 1\r\n{number}\r\n")).await;
    }
    peer.say("MSG m 3 1\r\nx\r\n").await;
    assert_eq!(within(fine.next()).await.unwrap().payload.as_ref(), b"x");
    for number in [b"0", b"1"] {
        assert_eq!(within(slow.next()).await.unwrap().payload.as_ref(), number);
    }
    assert_eq!(slow.dropped(), 3);
    let errors: Vec<String> = std::iter::from_fn(|| news.try_next())
        .filter_map(|news| match news {
            News::Error(error) => Some(error.to_string()),
            _ => None,
        })
        .collect();
    let told = "the subscriber of `n` is too slow: messages for it are dropped";
    assert_eq!(errors, [told]);
    let lost = std::iter::from_fn(|| client.events.try_next());
    let lost = lost.filter(|event| matches!(event.what, What::Disconnected { .. }));
    assert_eq!(lost.count(), 0);
}

#[tokio::test]
async fn an_address_that_a_server_names_is_dialled_as_that_server_was() {
    let place = Place::new();
    let (first, second) = (Server::new().await, Server::new().await);
    let url = first.url().replace("nats:", "tls:");
    let mut client = Client::trusting(&place.tls(), &[url]);
    let named = second.0.local_addr().unwrap();
    let mut peer = first
        .upgrade(&place, &format!("{{\"connect_urls\":[\"{named}\"]}}"))
        .await;
    peer.hear("PING").await;
    peer.say("PONG\r\n").await;
    client.discovered().await;
    drop((peer, first));
    // It has no scheme; in clear text nobody would come here.
    let mut peer = second.upgrade(&place, "{}").await;
    peer.hear("PING").await;
}

#[tokio::test]
async fn of_an_address_that_a_server_names_the_certificate_for_that_servers_name_is_demanded() {
    let place = Place::new();
    let (first, wrong, right) = (
        Server::new().await,
        Server::new().await,
        Server::new().await,
    );
    let address = |server: &Server| server.0.local_addr().unwrap();
    let url = format!("tls://localhost:{}", address(&first).port());
    let mut client = Client::trusting(&place.tls(), &[url]);
    place.certify_for("server.pem", "localhost");
    let both = [address(&wrong), address(&right)];
    let urls = both.map(|address| format!("\"{address}\"")).join(",");
    let info = format!("{{\"connect_urls\":[{urls}]}}");
    let mut peer = first.upgrade(&place, &info).await;
    peer.hear("PING").await;
    peer.say("PONG\r\n").await;
    client.discovered().await;
    drop((peer, first));

    // A certificate for the address itself is of somebody who happens to be there now.
    place.certify_for("server.pem", "127.0.0.1");
    let mut held = wrong.accept().await;
    held.say("INFO {}\r\n").await;
    let refused = place.acceptor().accept(held.0.into_inner());
    assert!(within(refused).await.is_err());
    while client.failed_dial().await.0 != Kind::Tls {}

    place.certify_for("server.pem", "localhost");
    let mut peer = right.upgrade(&place, "{}").await;
    peer.hear("PING").await;
}

#[test]
fn the_tool_refuses_what_no_server_would_take_as_a_bad_argument() {
    for (arguments, told) in [
        (&["pub", "a b", "x"][..], "has an empty word or a space"),
        (&["request", "a..b", "x"], "has an empty word or a space"),
        (&["sub", "a..b"], "is no subject"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_failover"));
        let ran = command.arg("nats").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains(told), "{said}");
    }
}

#[tokio::test]
async fn name_and_password_in_a_url_are_percent_decoded_and_never_told() {
    let server = Server::new().await;
    let url = server.url().replace("://", "://joe:p%40ss%3Aw%2Fd@");
    let mut client = Client::new(&[url]);
    let mut peer = server.accept().await;
    peer.say("INFO {}\r\n").await;
    let mut connect = String::new();
    within(peer.0.read_line(&mut connect)).await.unwrap();
    assert!(connect.contains(r#""user":"joe""#), "{connect}");
    assert!(connect.contains(r#""pass":"p@ss:w/d""#), "{connect}");
    peer.say("-ERR 'Authorization Violation'\r\n").await;
    let (kind, said) = client.failed_dial().await;
    assert_eq!(kind, Kind::Auth);
    assert!(!said.contains("p@ss") && !said.contains("p%40ss"), "{said}");
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let patience = timeout(Duration::from_secs(20), future);
    patience.await.expect("it takes too long")
}

#[tokio::test]
async fn a_server_that_is_left_is_unsubscribed_while_an_answer_of_it_is_awaited() {
    let (first, second) = (Server::new().await, Server::new().await);
    let client = Client::new(&[first.url(), second.url()]);
    let room = Room {
        items: 10,
        bytes: 1000,
    };
    let _news = subscribe(&client.link, "news", room).unwrap();
    let mut left = first.welcome("{}").await;
    left.hear("SUB news 2").await;
    let asking = tokio::spawn({
        let link = client.link.clone();
        async move { link.request(Publish::request("q", "?")).await }
    });
    left.hear("?").await;
    client.link.handle().reconnect_other();
    let mut next = second.welcome("{}").await;
    next.hear("SUB news 2").await;
    left.hear("UNSUB 2").await;
    // Where answers come to is still subscribed.
    assert!(!asking.is_finished());
}

/// A connection that is closed while answers come in is reset, and what was written last would be thrown away.
#[tokio::test]
async fn a_server_that_reads_slowly_and_answers_each_message_has_all_when_a_drain_ends() {
    const MESSAGES: usize = 25;
    let server = Server::new().await;
    let client = Client::new(&[server.url()]);
    let mut peer = server.welcome("{}").await;
    for _ in 0..MESSAGES {
        let message = Publish::to("s", vec![b'x'; 40_000]);
        client.link.try_send(message).unwrap();
    }
    let serving = tokio::spawn(async move {
        let (mut read, mut line) = (0, String::new());
        while let Ok(1..) = peer.0.read_line(&mut line).await {
            let answer = match line.strip_prefix("PUB s ") {
                Some(length) => {
                    let length: usize = length.trim().parse().unwrap();
                    let mut payload = vec![0; length + 2];
                    if peer.0.read_exact(&mut payload).await.is_err() {
                        break;
                    }
                    read += 1;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    "+OK\r\n"
                }
                None if line.starts_with("PING") => "PONG\r\n",
                None => "",
            };
            let _ = peer.0.write_all(answer.as_bytes()).await;
            line.clear();
        }
        read
    });
    within(client.link.drain()).await.unwrap();
    assert_eq!(within(serving).await.unwrap(), MESSAGES);
}

struct Client {
    link: Link<Nats>,
    events: Events,
}

impl Client {
    fn new(urls: &[String]) -> Self {
        Self::trusting(&TlsConfig::new().client().unwrap(), urls)
    }

    fn trusting(tls: &TlsClient, urls: &[String]) -> Self {
        let policy = Policy::builder()
            .order(Order::new(Walk::Listed))
            .deadline(DEADLINE);
        let login = Login::new(dialer(tls), Nats::new("test")).most_frame(1 << 20);
        let mut connector = Connector::builder(login, TokioClock::new())
            .endpoints(urls.iter().map(|url| Endpoint::parse(url).unwrap()))
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let events = connector.events();
        let heartbeat = Heartbeat::builder().watch(Duration::from_secs(1), 1);
        let policy = LinkPolicy::OFF
            .heartbeat(heartbeat.build().unwrap())
            .outbox(Outbox::Keep { bytes: 1 << 20 })
            .at_loss(AtLoss::Wait);
        let (link, driver) = open(connector, policy);
        tokio::spawn(driver.run());
        Self { link, events }
    }

    /// Waits until a server has named another.
    async fn discovered(&mut self) {
        while !matches!(
            within(self.events.next()).await.unwrap().what,
            What::Discovered { .. }
        ) {}
    }

    /// The first dial that failed: how, and in which words.
    async fn failed_dial(&mut self) -> (Kind, String) {
        loop {
            if let What::Attempt(attempt) = within(self.events.next()).await.unwrap().what
                && let Err(failed) = attempt.outcome
            {
                return (failed.failure.kind, failed.to_string());
            }
        }
    }

    /// Why the first connection was lost.
    async fn lost(&mut self) -> Kind {
        loop {
            if let What::Disconnected {
                why: Why::Lost(failure),
                ..
            } = within(self.events.next()).await.unwrap().what
            {
                return failure.kind;
            }
        }
    }
}

/// A listener that a test plays the server behind.
struct Server(TcpListener);

impl Server {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("nats://{}", self.0.local_addr().unwrap())
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = within(self.0.accept()).await.unwrap();
        Peer(BufReader::new(stream))
    }

    /// Accepts, greets with this, and does TLS.
    async fn upgrade(&self, place: &Place, info: &str) -> Peer<TlsStream<TcpStream>> {
        let mut peer = self.accept().await;
        peer.say(&format!("INFO {info}\r\n")).await;
        let stream = place.acceptor().accept(peer.0.into_inner());
        Peer(BufReader::new(within(stream).await.unwrap()))
    }

    /// Accepts, greets with this and answers the login, and answers pings from then on in `hear`.
    async fn welcome(&self, info: &str) -> Peer {
        let mut peer = self.accept().await;
        peer.say(&format!("INFO {info}\r\n")).await;
        peer.hear("PING").await;
        peer.say("PONG\r\n").await;
        peer
    }
}

struct Peer<S = TcpStream>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn say(&mut self, text: &str) {
        within(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// Reads until this line, and answers pings before it.
    async fn hear(&mut self, wanted: &str) {
        loop {
            let mut line = String::new();
            let count = within(self.0.read_line(&mut line)).await.unwrap();
            assert!(
                count > 0,
                "the client closed the connection before {wanted:?}"
            );
            if line.trim_end() == wanted {
                return;
            }
            if line.trim_end() == "PING" {
                self.say("PONG\r\n").await;
            }
        }
    }
}
