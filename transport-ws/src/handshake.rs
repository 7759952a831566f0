//! The upgrade itself: the request goes out, the answer comes in and is checked. Both are bounded
//! in size; the time is the dial's deadline.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::error::BadAnswer;
use crate::redirect;
use crate::refusal::MAX_EXCERPT;
use crate::request::Request;

/// What an upgrade gave.
#[derive(Debug)]
pub(crate) struct Upgraded {
    /// The subprotocol that the server chose.
    pub(crate) subprotocol: Option<String>,
    /// What came behind the answer: the beginning of the session.
    pub(crate) tail: Vec<u8>,
}

/// Why an upgrade gave nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another status than 101, with the beginning of the body.
    Refused(Head, Vec<u8>),
    Answer(BadAnswer),
    TooLong,
    Cut,
    Io(io::Error),
}

impl From<BadAnswer> for Trouble {
    fn from(problem: BadAnswer) -> Self {
        Self::Answer(problem)
    }
}

/// The head of an HTTP answer.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    version: Version,
    fields: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Version {
    Http10,
    #[default]
    Http11,
}

/// Asks for the upgrade and waits for the answer.
///
/// # Cancel safety
///
/// None is needed: whoever drops it drops the connection, too.
pub(crate) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    conn: &mut S,
    request: &Request,
    max_answer_size: usize,
) -> Result<Upgraded, Trouble> {
    conn.write_all(request.bytes()).await.map_err(Trouble::Io)?;
    conn.flush().await.map_err(Trouble::Io)?;

    let mut answer = Vec::new();
    let mut room = max_answer_size;
    loop {
        let (head, size) = read_head(conn, &mut answer, room).await?;
        let tail = answer.split_off(size);
        match head.status {
            101 => {
                let subprotocol = check(&head, request)?;
                return Ok(Upgraded { subprotocol, tail });
            }
            // Interim answers: the last one is still to come.
            100..=199 => {
                answer = tail;
                room = room.saturating_sub(size);
            }
            _ => {
                let body = read_body(conn, &head, tail).await;
                return Err(Trouble::Refused(head, body));
            }
        }
    }
}

/// Reads on until `answer` begins with a whole head; gives the head and its size.
async fn read_head<S: AsyncRead + Unpin>(
    conn: &mut S,
    answer: &mut Vec<u8>,
    room: usize,
) -> Result<(Head, usize), Trouble> {
    let mut searched = 0;
    loop {
        // Not only at the end: a server of another protocol may send a line and then wait for us.
        let begin = answer.len().min(BEGIN.len());
        if answer[..begin] != BEGIN[..begin] {
            return Err(BadAnswer::NotHttp.into());
        }
        if let Some(size) = end_of_head(answer, searched) {
            return match size <= room {
                true => Ok((parse(&answer[..size])?, size)),
                false => Err(Trouble::TooLong),
            };
        }
        if answer.len() >= room {
            return Err(Trouble::TooLong);
        }
        searched = answer.len();
        answer.reserve(STEP);
        if conn.read_buf(answer).await.map_err(Trouble::Io)? == 0 {
            return Err(Trouble::Cut);
        }
    }
}

/// Where the head ends, if it does. What was searched before is not searched again.
fn end_of_head(answer: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(END.len() - 1);
    let found = answer[from..].windows(END.len()).position(|w| w == END)?;
    Some(from + found + END.len())
}

fn parse(head: &[u8]) -> Result<Head, Trouble> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut fields);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Trouble::TooLong),
        Ok(httparse::Status::Partial) | Err(_) => return Err(BadAnswer::NotHttp.into()),
    }
    let (Some(status), Some(version)) = (parsed.code, parsed.version) else {
        return Err(BadAnswer::NotHttp.into());
    };
    Ok(Head {
        status,
        version: match version {
            0 => Version::Http10,
            _ => Version::Http11,
        },
        fields: parsed
            .headers
            .iter()
            .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
            .collect(),
    })
}

impl Head {
    /// The values of the fields with this name, in lower case.
    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| value.trim_ascii())
    }

    /// The first value of this name, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.all(name).next()?).ok()
    }

    /// Whether one of the words between commas is this one.
    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|word| word.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    #[cfg(test)]
    pub(crate) fn with(status: u16, fields: &[(&str, &str)]) -> Self {
        Self {
            status,
            version: Version::Http11,
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                .collect(),
        }
    }
}

/// Checks an answer with status 101; gives the subprotocol that the server chose.
fn check(head: &Head, request: &Request) -> Result<Option<String>, BadAnswer> {
    if head.version == Version::Http10 {
        return Err(BadAnswer::NotHttp);
    }
    if !head.has_token("upgrade", "websocket") {
        return Err(BadAnswer::NoUpgrade);
    }
    if !head.has_token("connection", "upgrade") {
        return Err(BadAnswer::NoConnection);
    }
    let expected = derive_accept_key(request.key().as_bytes());
    let mut keys = head.all("sec-websocket-accept");
    if keys.next() != Some(expected.as_bytes()) || keys.next().is_some() {
        return Err(BadAnswer::AcceptKey);
    }
    if !head.all("sec-websocket-extensions").all(<[u8]>::is_empty) {
        return Err(BadAnswer::Extension);
    }
    let mut chosen = head.all("sec-websocket-protocol");
    match (chosen.next(), chosen.next()) {
        (None, _) if request.offered().is_empty() => Ok(None),
        (Some(name), None) => {
            let mut offered = request.offered().iter();
            match offered.find(|offer| offer.as_bytes() == name) {
                Some(name) => Ok(Some(name.clone())),
                None => Err(BadAnswer::Subprotocol),
            }
        }
        _ => Err(BadAnswer::Subprotocol),
    }
}

/// The first bytes of a refusal's body: what there is, and what comes soon.
async fn read_body<S: AsyncRead + Unpin>(conn: &mut S, head: &Head, came: Vec<u8>) -> Vec<u8> {
    let length = head
        .text("content-length")
        .and_then(|text| text.parse().ok());
    let most = length.unwrap_or(MAX_BODY).min(MAX_BODY);
    let mut body = came;
    let more = async {
        while body.len() < most {
            body.reserve(most - body.len());
            if !matches!(conn.read_buf(&mut body).await, Ok(1..)) {
                break;
            }
        }
    };
    // Whatever becomes of it, the answer is there already. Of a redirect only the place counts.
    if !redirect::is_redirect(head.status) {
        let _ = tokio::time::timeout(BODY_WAIT, more).await;
    }
    body.truncate(most);
    if head.has_token("transfer-encoding", "chunked") {
        body = first_chunk(&body).to_vec();
    }
    body.truncate(MAX_EXCERPT);
    body
}

fn first_chunk(body: &[u8]) -> &[u8] {
    match httparse::parse_chunk_size(body) {
        Ok(httparse::Status::Complete((from, size))) => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let chunk = &body[from..];
            &chunk[..chunk.len().min(size)]
        }
        Ok(httparse::Status::Partial) | Err(_) => &[],
    }
}

/// How every answer begins.
const BEGIN: &[u8] = b"HTTP/1.";

/// How every head ends.
const END: &[u8] = b"\r\n\r\n";

/// How much is read at once.
const STEP: usize = 1024;

/// The most header fields of an answer.
const MAX_HEADERS: usize = 124;

/// The most that is read of a body: the excerpt and the size of a first chunk.
const MAX_BODY: usize = MAX_EXCERPT + 18;

/// How long the body of a refusal is waited for, for the sake of a better message.
const BODY_WAIT: Duration = Duration::from_millis(100);
