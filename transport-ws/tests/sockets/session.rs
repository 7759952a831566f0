//! Established connections, as bytes and as messages, over real sockets.

use std::io::{self, ErrorKind};
use std::task::Poll;

use crate::common::{Tcp, accept, accept_raw, dial, peer, soon};
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, split};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use transport_ws::{Breach, Message, SessionError, TRY_AGAIN_PAUSE, Ws, WsConfig, WsStream};

#[tokio::test]
async fn a_million_bytes_come_back_whatever_the_chunks() {
    let port = peer(|stream| async move { echo(accept(stream).await).await }).await;
    let mut random = StdRng::seed_from_u64(7);
    let data: Vec<u8> = (0..1 << 20).map(|_| random.random()).collect();
    let ws = Ws::new(Tcp).config(WsConfig::default().max_write_size(10_000));
    let (mut reader, mut writer) = split(dial(&ws, port).await.unwrap());

    let sent = data.clone();
    let writing = tokio::spawn(async move {
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let amount = random.random_range(1..=40_000).min(rest.len());
            writer.write_all(&rest[..amount]).await.unwrap();
            rest = &rest[amount..];
        }
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    soon(reader.read_to_end(&mut received)).await.unwrap();
    soon(writing).await.unwrap();
    assert!(received == data, "{} bytes came back", received.len());
}

#[tokio::test]
async fn messages_come_back_as_they_were_sent() {
    let port = peer(|stream| async move { echo(accept(stream).await).await }).await;
    let mut messages = dial(&Ws::new(Tcp).messages(), port).await.unwrap();
    for message in [Message::text("grüße"), Message::binary(vec![7; 100_000])] {
        messages.send(message.clone()).await.unwrap();
        assert_eq!(soon(messages.next()).await.unwrap().unwrap(), message);
    }
    messages.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(
        soon(messages.next()).await.unwrap().unwrap(),
        Message::Pong("x".into())
    );

    messages.close().await.unwrap();
    let last = soon(messages.next()).await.unwrap().unwrap();
    assert!(matches!(last, Message::Close(Some(frame)) if frame.code == CloseCode::Normal));
    assert!(soon(messages.next()).await.is_none());
    assert!(matches!(
        messages.send(Message::text("late")).await,
        Err(SessionError::Ended)
    ));
}

#[tokio::test]
async fn text_and_binary_are_read_alike_and_empty_messages_are_no_end() {
    let port = peer(|stream| async move {
        let mut server = accept(stream).await;
        for message in [
            Message::binary(""),
            Message::text("a\nb"),
            Message::binary("c\n"),
        ] {
            server.send(message).await.unwrap();
        }
        server.close(None).await.unwrap();
    })
    .await;
    let mut lines = dial(&Ws::new(Tcp), port).await.unwrap().lines();
    assert_eq!(soon(lines.next_line()).await.unwrap().unwrap(), "a");
    assert_eq!(soon(lines.next_line()).await.unwrap().unwrap(), "bc");
    assert_eq!(soon(lines.next_line()).await.unwrap(), None);
}

#[tokio::test]
async fn what_arrives_together_with_the_answer_is_not_lost() {
    let port = peer(|mut stream| async move {
        let head = crate::common::request(&mut stream).await;
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let key =
            tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes());
        let mut answer = crate::common::UPGRADED
            .replace("{accept}", &key)
            .into_bytes();
        answer.extend(b"\x82\x02hi\x88\x02\x03\xe8");
        stream.write_all(&answer).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let (read, ended) = read_all(&mut dial(&Ws::new(Tcp), port).await.unwrap()).await;
    assert_eq!(read, b"hi");
    ended.unwrap();
}

#[tokio::test]
async fn each_close_code_is_judged() {
    let of = |kind, code: u16| Failure::new(kind).code(u32::from(code));
    for (code, expected) in [
        (1000, None),
        (1001, Some(of(Kind::Draining, 1001))),
        (1002, Some(of(Kind::Protocol, 1002))),
        (1008, Some(of(Kind::Auth, 1008).scope(Scope::Endpoint))),
        (1009, Some(of(Kind::Protocol, 1009))),
        (1011, Some(of(Kind::Other, 1011))),
        (1012, Some(of(Kind::Draining, 1012))),
        (
            1013,
            Some(of(Kind::Draining, 1013).retry_after(TRY_AGAIN_PAUSE)),
        ),
        (3000, Some(of(Kind::Auth, 3000).scope(Scope::Endpoint))),
        (4001, Some(of(Kind::Other, 4001))),
    ] {
        let port = peer(move |stream| async move {
            let mut server = accept(stream).await;
            let frame = CloseFrame {
                code: code.into(),
                reason: "bye".into(),
            };
            server.send(Message::binary("last")).await.unwrap();
            server.close(Some(frame)).await.unwrap();
            // The client answers the close frame with the same code, unasked.
            let Some(Ok(Message::Close(Some(answer)))) = server.next().await else {
                panic!("no answer to close code {code}");
            };
            assert_eq!(u16::from(answer.code), code);
        })
        .await;
        let mut stream = dial(&Ws::new(Tcp), port).await.unwrap();
        let (read, ended) = read_all(&mut stream).await;
        assert_eq!(read, b"last");
        let found = ended.as_ref().err().map(Failure::from_io);
        assert_eq!(
            found,
            expected.map(|failure| failure.at(Phase::Session)),
            "{code}"
        );
        if let Err(error) = ended {
            let words = format!("the server closed the WebSocket connection with code {code}: bye");
            assert_eq!(error.to_string(), words);
            // Never an end of file after an error.
            assert_eq!(
                stream.read(&mut [0]).await.unwrap_err().kind(),
                ErrorKind::NotConnected
            );
        }
    }
}

#[tokio::test]
async fn an_end_without_goodbye_is_an_error_and_no_end_of_file() {
    let port = peer(|mut stream| async move {
        accept_raw(&mut stream).await;
        // Half a frame.
        stream.write_all(b"\x82\x05he").await.unwrap();
    })
    .await;
    let error = read_error(port).await;
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(matches!(inner(&error), SessionError::Cut));
    assert_eq!(
        Failure::from_io(&error),
        Failure::new(Kind::Closed).at(Phase::Session)
    );
}

#[tokio::test]
async fn a_reset_is_an_error_and_no_end_of_file() {
    let (cut, told) = oneshot::channel::<()>();
    let port = peer(|mut stream| async move {
        accept_raw(&mut stream).await;
        // Closing with data unread resets the connection.
        let _ = told.await;
        stream.readable().await.unwrap();
    })
    .await;
    let mut stream = dial(&Ws::new(Tcp), port).await.unwrap();
    stream.write_all(b"unread").await.unwrap();
    cut.send(()).unwrap();
    let error = soon(stream.read(&mut [0; 9])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(Failure::from_io(&error).kind, Kind::Reset);
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_is_told_so() {
    for (bytes, code) in [
        (&b"\x82\x7e\x04\x01"[..], CloseCode::Size),
        (b"\x02\x7e\x04\x00", CloseCode::Size),
        (b"\x81\x01\xff", CloseCode::Invalid),
        (b"\x83\x00", CloseCode::Protocol),
        (b"\x8b\x00", CloseCode::Protocol),
        (b"\xc2\x00", CloseCode::Protocol),
        (b"\x80\x00", CloseCode::Protocol),
        (b"\x09\x00", CloseCode::Protocol),
        (b"\x82\x80\x01\x02\x03\x04", CloseCode::Protocol),
    ] {
        // The second case: a frame within the bound, and then one byte more of the same message.
        let mut bytes = bytes.to_vec();
        if bytes == b"\x02\x7e\x04\x00" {
            bytes.extend([0; 1024]);
            bytes.extend(b"\x80\x01\x00");
        }
        let (heard, told) = oneshot::channel();
        let port = peer(move |mut stream| async move {
            accept_raw(&mut stream).await;
            stream.write_all(&bytes).await.unwrap();
            let mut server = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            let _ = heard.send(server.next().await);
        })
        .await;
        let config = WsConfig::default()
            .max_frame_size(1024)
            .max_message_size(1024);
        let mut stream = dial(&Ws::new(Tcp).config(config), port).await.unwrap();
        let error = read_all(&mut stream).await.1.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            Failure::from_io(&error),
            Failure::new(Kind::Protocol).at(Phase::Session)
        );
        assert!(
            matches!(inner(&error), SessionError::Breach(_)),
            "{error:?}"
        );
        let Some(Ok(Message::Close(Some(frame)))) = soon(told).await.unwrap() else {
            panic!("not told: {code}");
        };
        assert_eq!(frame.code, code);
    }
}

#[tokio::test]
async fn a_message_at_the_bound_passes_and_one_byte_more_does_not() {
    let config = WsConfig::default().max_message_size(1000);
    for (size, passes) in [(1000, true), (1001, false)] {
        let port = peer(move |stream| async move {
            let mut server = accept(stream).await;
            let _ = server.send(Message::binary(vec![0; size])).await;
            let _ = server.next().await;
        })
        .await;
        let dialer = Ws::new(Tcp).config(config.clone()).messages();
        let mut messages = dial(&dialer, port).await.unwrap();
        match soon(messages.next()).await.unwrap() {
            Ok(message) => assert!(passes && message.len() == size),
            Err(error) => {
                assert!(!passes);
                let too_large = Breach::TooLarge {
                    size,
                    max_size: 1000,
                };
                assert!(matches!(error, SessionError::Breach(found) if found == too_large));
            }
        }
        let sent = messages.feed(Message::binary(vec![0; size])).await;
        assert_eq!(sent.is_ok(), passes);
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_handed_back_and_does_no_harm() {
    let port = peer(|stream| async move { echo(accept(stream).await).await }).await;
    let dialer = Ws::new(Tcp)
        .config(WsConfig::default().max_message_size(10))
        .messages();
    let mut messages = dial(&dialer, port).await.unwrap();
    let large = Message::binary(vec![1; 11]);
    match messages.send(large.clone()).await {
        Err(SessionError::Unsent(back)) => assert_eq!(*back, large),
        other => panic!("{other:?}"),
    }
    messages.send(Message::text("ok")).await.unwrap();
    assert_eq!(
        soon(messages.next()).await.unwrap().unwrap(),
        Message::text("ok")
    );
}

#[tokio::test]
async fn a_peer_that_does_not_read_bounds_the_writer_and_loses_nothing() {
    const PIPE: usize = 1000;
    let (mut stream, server) = piped(PIPE, 4096).await;
    let data: Vec<u8> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
    let mut written = 0;
    std::future::poll_fn(|cx| {
        while let Poll::Ready(amount) =
            std::pin::Pin::new(&mut stream).poll_write(cx, &data[written..])
        {
            written += amount.unwrap();
        }
        Poll::Ready(())
    })
    .await;
    assert!(
        written > 0 && written <= PIPE + 4096,
        "{written} bytes were taken"
    );

    let reading = tokio::spawn(collect(server));
    soon(stream.write_all(&data[written..])).await.unwrap();
    soon(stream.shutdown()).await.unwrap();
    assert!(soon(reading).await.unwrap() == data);
}

#[tokio::test]
async fn pings_of_a_peer_that_does_not_read_take_no_unbounded_memory_and_no_room_from_messages() {
    let (stream, mut server) = piped(200, 4096).await;
    let (mut reader, mut writer) = split(stream);
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.map(|_| all)
    });
    // Nobody reads the pongs: far more of them than there is room for.
    for _ in 0..1000 {
        soon(server.feed(Message::Ping(vec![1; 125].into())))
            .await
            .unwrap();
        soon(server.flush()).await.unwrap();
    }
    let writing = tokio::spawn(async move {
        writer.write_all(&[7; 20_000]).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let received = soon(collect(server)).await;
    assert!(received == [7; 20_000], "{} bytes", received.len());
    soon(writing).await.unwrap();
    soon(reading).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_program_that_never_flushes_is_answered() {
    let (mut stream, server) = piped(100, 64 * 1024).await;
    let echoing = tokio::spawn(echo(server));
    // One message: it is taken at once, although most of it finds no room in the pipe.
    stream.write_all(&[3; 20_000]).await.unwrap();
    let mut back = vec![0; 20_000];
    soon(stream.read_exact(&mut back)).await.unwrap();
    assert!(back == [3; 20_000]);
    drop(stream);
    soon(echoing).await.unwrap();
}

#[tokio::test]
async fn reader_and_writer_in_two_tasks_never_miss_a_wake_up() {
    let (stream, server) = piped(64, 512).await;
    let echoing = tokio::spawn(echo(server));
    let (mut reader, mut writer) = split(stream);
    let writing = tokio::spawn(async move {
        for round in 0..2000u32 {
            writer.write_all(&[round as u8; 300]).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    });
    let mut all = Vec::new();
    soon(reader.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all.len(), 600_000);
    soon(writing).await.unwrap();
    soon(echoing).await.unwrap();
}

#[tokio::test]
async fn shutdown_says_goodbye_and_what_still_comes_can_be_read() {
    let port = peer(|stream| async move {
        let mut server = accept(stream).await;
        let Some(Ok(Message::Close(Some(frame)))) = server.next().await else {
            panic!("no goodbye");
        };
        assert_eq!(frame.code, CloseCode::Normal);
        let _ = server.next().await;
    })
    .await;
    let mut stream = dial(&Ws::new(Tcp), port).await.unwrap();
    soon(stream.shutdown()).await.unwrap();
    let late = stream.write(b"late").await.unwrap_err();
    assert!(matches!(inner(&late), SessionError::Ended));
    let (read, ended) = read_all(&mut stream).await;
    assert!(read.is_empty());
    ended.unwrap();
    soon(stream.shutdown()).await.unwrap();
}

#[test]
fn a_failure_that_a_layer_below_left_is_found() {
    let left = Failure::new(Kind::Tls).scope(Scope::Endpoint);
    assert_eq!(
        Failure::from_io(&io::Error::new(ErrorKind::InvalidData, left)),
        left
    );
    assert_eq!(
        Failure::from_io(&ErrorKind::TimedOut.into()).kind,
        Kind::Timeout
    );
    let below = SessionError::Io(io::Error::new(ErrorKind::InvalidData, left));
    assert_eq!(below.failure(), left.at(Phase::Session));

    let left = left.at(Phase::Tls);
    let below = SessionError::Io(io::Error::new(ErrorKind::InvalidData, left));
    assert_eq!(below.failure(), left);
}

async fn echo<S>(mut server: WebSocketStream<S>)
where
    S: tokio::io::AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = server.next().await {
        if message.is_binary() || message.is_text() {
            server.send(message).await.unwrap();
        }
    }
}

/// All data until the close frame.
async fn collect(mut server: WebSocketStream<DuplexStream>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(message)) = server.next().await {
        if message.is_binary() {
            assert!(message.len() <= 64 * 1024);
            all.extend_from_slice(&message.into_data());
        }
    }
    all
}

/// A connection through a pipe of this size in each direction, so that "full" is exact.
async fn piped(
    pipe: usize,
    max_write_size: usize,
) -> (WsStream<DuplexStream>, WebSocketStream<DuplexStream>) {
    let config = WsConfig::default().max_write_size(max_write_size);
    let (stream, server) = crate::common::piped(pipe, config).await;
    let server = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
    (stream, server)
}

async fn read_all(stream: &mut WsStream<TcpStream>) -> (Vec<u8>, io::Result<usize>) {
    let mut all = Vec::new();
    let ended = soon(stream.read_to_end(&mut all)).await;
    (all, ended)
}

async fn read_error(port: u16) -> io::Error {
    let mut stream = dial(&Ws::new(Tcp), port).await.unwrap();
    read_all(&mut stream).await.1.unwrap_err()
}

fn inner(error: &io::Error) -> &SessionError {
    SessionError::in_io(error).unwrap()
}
