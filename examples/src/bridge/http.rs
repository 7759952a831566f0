//! A server of small pages: one request a connection, everything bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many requests are answered at once; others wait to be accepted.
const MOST: usize = 16;
/// How long a request and its answer may take together.
const WITHIN: Duration = Duration::from_secs(5);
/// How large a request may be, and how many headers it may have.
const LARGEST: usize = 8 * 1024;
const HEADERS: usize = 64;
/// How long the listener rests when nothing can be accepted (no descriptors left).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What is asked for, with GET or HEAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) accept: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }
}

/// Answers until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    let room = Arc::new(Semaphore::new(MOST));
    let mut running = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        while running.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let answer = Arc::clone(&answer);
        running.spawn(async move {
            // Who is too slow, or goes away, gets no answer.
            let _ = timeout(WITHIN, one(stream, &*answer)).await;
            drop(place);
        });
    }
}

async fn one(
    mut stream: TcpStream,
    answer: &(impl Fn(&Request) -> Response + Sync),
) -> io::Result<()> {
    let mut received = Vec::new();
    let mut read = parse(&received);
    while read == Read::More {
        let room = LARGEST - received.len();
        let mut bounded = (&mut stream).take(room as u64);
        if bounded.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        read = parse(&received);
    }
    let (response, with_body) = match read {
        Read::Get(request) => (answer(&request), true),
        Read::Head(request) => (answer(&request), false),
        Read::Refused(status) => (Response::text(status, format!("{status}\n")), true),
        Read::More => return Ok(()),
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
         X-Content-Type-Options: nosniff\r\n{}Connection: close\r\n\r\n",
        response.status,
        response.kind,
        response.body.len(),
        if response.status.starts_with("405") {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        },
    );
    stream.write_all(head.as_bytes()).await?;
    if with_body {
        stream.write_all(response.body.as_bytes()).await?;
    }
    stream.shutdown().await?;
    // What is still under way would reset the connection, and the answer with it.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Read {
    More,
    Get(Request),
    Head(Request),
    Refused(&'static str),
}

fn parse(received: &[u8]) -> Read {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(received) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if received.len() < LARGEST => return Read::More,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Read::Refused("431 Request Header Fields Too Large");
        }
        Err(_) => return Read::Refused("400 Bad Request"),
    }
    let accept = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("accept"))
        .map(|header| String::from_utf8_lossy(header.value).into_owned());
    let target = request.path.unwrap_or_default();
    let asked = Request {
        path: target.split('?').next().unwrap_or_default().to_string(),
        accept: accept.unwrap_or_default(),
    };
    match request.method {
        Some("GET") => Read::Get(asked),
        Some("HEAD") => Read::Head(asked),
        _ => Read::Refused("405 Method Not Allowed"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_whole_and_bounded() {
        let asked = Request {
            path: "/health".to_string(),
            accept: "application/json".to_string(),
        };
        let text = b"GET /health?x HTTP/1.1\r\nHost: a\r\nACCEPT: application/json\r\n\r\n";
        assert_eq!(parse(text), Read::Get(asked.clone()));
        assert_eq!(parse(&text[..30]), Read::More);
        assert_eq!(
            parse(b"HEAD /health HTTP/1.0\r\naccept: application/json\r\n\r\n"),
            Read::Head(asked)
        );
        let refused = |text: &[u8], status: &str| {
            let read = parse(text);
            assert!(
                matches!(read, Read::Refused(it) if it.starts_with(status)),
                "{read:?}"
            );
        };
        refused(b"POST / HTTP/1.1\r\n\r\n", "405");
        refused(b"\x16\x03\x01 what", "400");
        let long = [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'x'; LARGEST]].concat();
        assert_eq!(parse(&long[..LARGEST - 1]), Read::More);
        refused(&long[..LARGEST], "431");
        let many = "GET / HTTP/1.1\r\n".to_string() + &"a: b\r\n".repeat(HEADERS + 1) + "\r\n";
        refused(many.as_bytes(), "431");
    }
}
