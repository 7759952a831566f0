//! HTTP CONNECT.

use std::io;
use std::time::Duration;

use data_encoding::BASE64;
use failover_core::failure::{Failure, Kind, Scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::proxy::{Login, ProxyError};

/// The longest answer that is read, in bytes.
pub(super) const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
const LONGEST_REASON: usize = 80;
const END: &[u8] = b"\r\n\r\n";

pub(super) async fn ask(
    mut stream: TcpStream,
    login: Option<&Login>,
    host: &str,
    port: u16,
) -> Result<TcpStream, ProxyError> {
    stream
        .write_all(request(login, host, port).as_bytes())
        .await?;
    loop {
        let answer = parse(&read_head(&mut stream).await?)?;
        match answer.status {
            // Interim: the answer proper follows.
            100..=199 => {}
            200..=299 => return Ok(stream),
            status => {
                return Err(ProxyError::Status {
                    status,
                    reason: answer.reason,
                    retry_after: answer.retry_after,
                });
            }
        }
    }
}

fn request(login: Option<&Login>, host: &str, port: u16) -> String {
    let to = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let login = login.map_or_else(String::new, |login| {
        let plain = format!("{}:{}", login.user, login.password);
        let encoded = BASE64.encode(plain.as_bytes());
        format!("Proxy-Authorization: Basic {encoded}\r\n")
    });
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{login}\r\n")
}

/// The answer's head and not a byte more: what follows belongs to the target, which may well speak
/// first. So the socket is looked at before it is read.
async fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>, ProxyError> {
    let mut head = Vec::new();
    let mut seen = [0; 1024];
    loop {
        let peeked = stream.peek(&mut seen).await?;
        if peeked == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = head.len();
        head.extend_from_slice(&seen[..peeked]);
        let search = before.saturating_sub(END.len() - 1);
        let end = head[search..]
            .windows(END.len())
            .position(|part| part == END)
            .map(|at| search + at + END.len());
        head.truncate(end.unwrap_or(head.len()));
        let taken = head.len() - before;
        stream.read_exact(&mut seen[..taken]).await?;
        if end.is_some() {
            return Ok(head);
        }
        if head.len() >= LONGEST_HEAD {
            return Err(ProxyError::TooLong);
        }
    }
}

struct Answer {
    status: u16,
    reason: String,
    retry_after: Option<Duration>,
}

fn parse(head: &[u8]) -> Result<Answer, ProxyError> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).map_err(ProxyError::NotHttp)?;
    let retry_after = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("retry-after"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let reason = response.reason.unwrap_or_default();
    Ok(Answer {
        status: response.code.unwrap_or_default(),
        reason: reason
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST_REASON)
            .collect(),
        retry_after,
    })
}

pub(super) fn failure(status: u16, retry_after: Option<Duration>) -> Failure {
    let failure = match status {
        401 | 407 => Failure::new(Kind::Auth).scope(Scope::Endpoint),
        408 | 504 => Failure::new(Kind::Timeout),
        429 => Failure::new(Kind::Refused),
        500.. => Failure::new(Kind::Unreachable),
        _ => Failure::new(Kind::Refused).scope(Scope::Endpoint),
    };
    let failure = failure.code(u32::from(status));
    match retry_after {
        Some(after) => failure.retry_after(after),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_stands_in_brackets_and_the_login_is_encoded() {
        let login = Login {
            user: "joe".to_string(),
            password: "a:b".to_string(),
        };
        assert_eq!(
            request(Some(&login), "::1", 7443),
            "CONNECT [::1]:7443 HTTP/1.1\r\nHost: [::1]:7443\r\n\
             Proxy-Authorization: Basic am9lOmE6Yg==\r\n\r\n"
        );
    }

    #[test]
    fn a_status_says_whom_it_concerns() {
        let class = |status| (failure(status, None).kind, failure(status, None).scope);
        assert_eq!(class(407), (Kind::Auth, Scope::Endpoint));
        assert_eq!(class(403), (Kind::Refused, Scope::Endpoint));
        assert_eq!(class(429), (Kind::Refused, Scope::Transient));
        assert_eq!(class(502), (Kind::Unreachable, Scope::Transient));
        assert_eq!(class(504), (Kind::Timeout, Scope::Transient));
        let busy = parse(b"HTTP/1.1 503 busy\r\nRetry-After: 7\r\n\r\n").unwrap();
        assert_eq!(busy.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(failure(503, busy.retry_after).retry_after, busy.retry_after);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_proxy_says_nothing_panics(head in proptest::collection::vec(0_u8.., 0..200)) {
            let _ = parse(&head);
        }
    }
}
