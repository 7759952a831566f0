//! What stands on the wire.

use serde::Deserialize;

use crate::nats::error::NatsError;

/// The longest line that is read: an `INFO` with some ten thousand URLs.
pub(super) const LONGEST_LINE: usize = 1024 * 1024;

/// One thing that the server says.
#[derive(Debug)]
pub(super) enum Op<'a> {
    Ping,
    Pong,
    Ok,
    Err(String),
    Info(Box<Info>),
    Message(Message<'a>),
}

/// `MSG` or `HMSG`.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) subject: &'a str,
    pub(super) sid: u64,
    pub(super) reply: Option<&'a str>,
    pub(super) status: Option<u16>,
    pub(super) payload: &'a [u8],
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) max_payload: Option<usize>,
    pub(super) tls_required: bool,
    pub(super) connect_urls: Vec<String>,
    pub(super) ldm: bool,
}

/// The first operation and how many bytes it has; nothing if it is not whole.
pub(super) fn next(bytes: &[u8]) -> Result<Option<(Op<'_>, usize)>, NatsError> {
    let window = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        if window.len() == LONGEST_LINE {
            return Err(NatsError::garbage("a line without an end", bytes));
        }
        return Ok(None);
    };
    let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
    let text = std::str::from_utf8(line).map_err(|_| NatsError::garbage("no text", line))?;
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let op = match word.to_ascii_uppercase().as_str() {
        "MSG" => return message(Headers::None, rest, bytes, end + 1),
        "HMSG" => return message(Headers::Some, rest, bytes, end + 1),
        "PING" => Op::Ping,
        "PONG" => Op::Pong,
        "+OK" => Op::Ok,
        "-ERR" => Op::Err(rest.to_string()),
        "INFO" => Op::Info(Box::new(info(rest)?)),
        _ => return Err(NatsError::garbage("no such operation", line)),
    };
    Ok(Some((op, end + 1)))
}

/// The JSON of an `INFO`.
pub(super) fn info(json: &str) -> Result<Info, NatsError> {
    serde_json::from_str(json)
        .map_err(|_| NatsError::garbage("an INFO that is no JSON", json.as_bytes()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Headers {
    None,
    Some,
}

fn message<'a>(
    headers: Headers,
    arguments: &'a str,
    bytes: &'a [u8],
    start: usize,
) -> Result<Option<(Op<'a>, usize)>, NatsError> {
    let garbage = || NatsError::garbage("the arguments of a message", arguments.as_bytes());
    let mut words = arguments.split_ascii_whitespace().rev();
    let mut number = || -> Result<usize, NatsError> {
        let word = words.next().ok_or_else(garbage)?;
        word.parse().map_err(|_| garbage())
    };
    let total = number()?;
    let head = match headers {
        Headers::None => 0,
        Headers::Some => number()?,
    };
    let rest: Vec<&str> = words.collect();
    let (subject, sid, reply) = match rest[..] {
        [sid, subject] => (subject, sid, None),
        [reply, sid, subject] => (subject, sid, Some(reply)),
        _ => return Err(garbage()),
    };
    let sid = sid.parse().map_err(|_| garbage())?;
    if head > total {
        return Err(garbage());
    }
    let Some(end) = start.checked_add(total).and_then(|end| end.checked_add(2)) else {
        return Err(garbage());
    };
    let Some(body) = bytes.get(start..end) else {
        return Ok(None);
    };
    if !body.ends_with(b"\r\n") {
        return Err(NatsError::garbage(
            "a message that does not end where it says",
            body,
        ));
    }
    let message = Message {
        subject,
        sid,
        reply,
        status: status(&body[..head]),
        payload: &body[head..total],
    };
    Ok(Some((Op::Message(message), end)))
}

/// The status in the first line of headers: `NATS/1.0 503`.
fn status(headers: &[u8]) -> Option<u16> {
    let rest = headers.strip_prefix(b"NATS/1.0 ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

/// Whether this may be subscribed to or published to: words between single dots, without spaces.
pub(super) fn is_subject(subject: &str) -> bool {
    let fine = |word: &str| {
        !word.is_empty()
            && !word
                .bytes()
                .any(|byte| byte.is_ascii_whitespace() || byte == 0)
    };
    subject.split('.').all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_read_when_its_last_byte_is_there_and_not_before() {
        let wire = b"HMSG a.b 7 in.box 12 17\r\nNATS/1.0\r\n\r\nhello\r\nPING\r\n";
        for len in 0..44 {
            assert!(next(&wire[..len]).unwrap().is_none(), "{len}");
        }
        let (op, len) = next(wire).unwrap().unwrap();
        let Op::Message(message) = op else {
            panic!("{op:?}");
        };
        assert_eq!(
            (message.subject, message.sid, message.reply),
            ("a.b", 7, Some("in.box"))
        );
        assert_eq!(
            (message.status, message.payload),
            (None, b"hello".as_slice())
        );
        assert!(matches!(next(&wire[len..]), Ok(Some((Op::Ping, 6)))));
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_wait_for_more() {
        for wire in [
            "HELLO\r\n".to_string(),
            "MSG a 1 x\r\n".to_string(),
            "MSG a 1\r\n".to_string(),
            "HMSG a 1 9 5\r\nhello\r\n".to_string(),
            "MSG a 1 5\r\nhello world\r\n".to_string(),
            format!("MSG a 1 {}\r\n", u64::MAX),
            "INFO {\r\n".to_string(),
            "x".repeat(LONGEST_LINE),
        ] {
            assert!(next(wire.as_bytes()).is_err(), "{wire:.30}");
        }
    }

    #[test]
    fn ten_thousand_servers_in_one_line_are_read() {
        let urls: Vec<String> = (0..10_000)
            .map(|number| format!("\"10.1.{}.{}:4222\"", number / 250, number % 250))
            .collect();
        let wire = format!("INFO {{\"connect_urls\":[{}]}}\r\n", urls.join(","));
        let (op, len) = next(wire.as_bytes()).unwrap().unwrap();
        assert!(matches!(op, Op::Info(info) if info.connect_urls.len() == 10_000));
        assert_eq!(len, wire.len());
    }

    #[test]
    fn nobody_to_answer_is_a_status() {
        let wire = b"HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
        let (op, _) = next(wire).unwrap().unwrap();
        assert!(matches!(
            op,
            Op::Message(Message {
                status: Some(503),
                ..
            })
        ));
    }

    #[test]
    fn a_subject_has_words_between_single_dots() {
        for subject in ["a", "a.b", "a.*.c", "a.>"] {
            assert!(is_subject(subject));
        }
        for subject in ["", ".", "a.", "a..b", "a b", "a\r\nPUB x 0"] {
            assert!(!is_subject(subject), "{subject:?}");
        }
    }
}
