//! What stands on the wire: `COMMAND`, headers, an empty line, a body, a NUL.

use crate::stomp::error::StompError;

/// The most bytes that the command and the headers of a frame may have.
pub(super) const LONGEST_HEAD: usize = 64 * 1024;

/// One frame that the server sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) command: &'a str,
    /// In their order, decoded. Of those with one name the first counts.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: &'a [u8],
}

impl Frame<'_> {
    /// The value of this header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The value of a header that such a frame must have.
    pub(super) fn demand(&self, name: &'static str) -> Result<&str, StompError> {
        self.header(name).ok_or_else(|| StompError::NoHeader {
            command: self.command.to_string(),
            name,
        })
    }
}

/// The value of the first header of this name.
pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    headers
        .find(|(present, _)| present == name)
        .map(|(_, value)| value.as_str())
}

/// Finds frames in bytes that come piece by piece.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// So many bytes of the body of the first frame hold no NUL: they are not looked at again.
    looked: usize,
}

/// How many line ends the bytes begin with: what stands between frames is a heart-beat.
pub(super) fn beats(bytes: &[u8]) -> usize {
    let is_end = |byte: &&u8| matches!(byte, b'\n' | b'\r');
    bytes.iter().take_while(is_end).count()
}

impl Parser {
    /// The first frame and how many bytes it has; nothing if it is not whole. The same bytes, and
    /// more behind them, come again until it is.
    pub(super) fn next<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<Option<(Frame<'a>, usize)>, StompError> {
        let Some((head, body_at)) = head(bytes)? else {
            return Ok(None);
        };
        let (command, headers) = headers(head)?;
        let rest = &bytes[body_at..];
        let body = match header(&headers, "content-length") {
            Some(length) => sized(rest, length)?,
            None => self.unsized_body(rest),
        };
        let Some(body) = body else {
            return Ok(None);
        };
        self.looked = 0;
        let frame = Frame {
            command,
            headers,
            body,
        };
        Ok(Some((frame, body_at + body.len() + 1)))
    }

    /// Up to the first NUL.
    fn unsized_body<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let from = self.looked.min(rest.len());
        let Some(end) = rest[from..].iter().position(|byte| *byte == 0) else {
            self.looked = rest.len();
            return None;
        };
        Some(&rest[..from + end])
    }
}

/// The lines before the empty one, and where the body begins.
fn head(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, StompError> {
    let window = &bytes[..bytes.len().min(LONGEST_HEAD)];
    let mut line_at = 0;
    while let Some(len) = window[line_at..].iter().position(|byte| *byte == b'\n') {
        let line = &window[line_at..line_at + len];
        if line.is_empty() || line == b"\r" {
            return Ok(Some((&window[..line_at], line_at + len + 1)));
        }
        line_at += len + 1;
    }
    if window[line_at..].contains(&0) {
        return Err(StompError::garbage("a NUL among the headers", bytes));
    }
    if window.len() == LONGEST_HEAD {
        return Err(StompError::garbage("headers without an end", bytes));
    }
    Ok(None)
}

/// A command and its headers.
type Head<'a> = (&'a str, Vec<(String, String)>);

fn headers(head: &[u8]) -> Result<Head<'_>, StompError> {
    let text = std::str::from_utf8(head)
        .map_err(|_| StompError::garbage("headers that are no UTF-8", head))?;
    let mut lines = text
        .split_terminator('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line));
    let command = lines.next().unwrap_or_default();
    if command.is_empty() || !command.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(StompError::garbage("no command", command.as_bytes()));
    }
    // Only these two are not escaped: STOMP 1.0 did not know how.
    let is_escaped = !matches!(command, "CONNECT" | "CONNECTED");
    let headers = lines.map(|line| {
        let wrong = || StompError::garbage("a header that is none", line.as_bytes());
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        if is_escaped {
            let decoded = unescape(name).zip(unescape(value));
            return decoded.ok_or_else(wrong);
        }
        Ok((name.to_string(), value.to_string()))
    });
    Ok((command, headers.collect::<Result<_, _>>()?))
}

/// A body of the length that the header says.
fn sized<'a>(rest: &'a [u8], length: &str) -> Result<Option<&'a [u8]>, StompError> {
    let wrong = || StompError::garbage("a content-length that is none", length.as_bytes());
    let length: usize = length.parse().map_err(|_| wrong())?;
    if length == usize::MAX {
        return Err(wrong());
    }
    match rest.get(length) {
        Some(0) => Ok(Some(&rest[..length])),
        Some(_) => Err(StompError::garbage(
            "a body that does not end where it says",
            rest,
        )),
        None => Ok(None),
    }
}

/// Writes a frame; its headers are escaped.
pub(super) fn write<'a>(
    command: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    body: &[u8],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(command.as_bytes());
    out.push(b'\n');
    for (name, value) in headers {
        escape(name, out);
        out.push(b':');
        escape(value, out);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(body);
    out.push(0);
}

fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b':' => out.extend_from_slice(b"\\c"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(other),
        }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next()? {
                'r' => '\r',
                'n' => '\n',
                'c' => ':',
                '\\' => '\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_when_its_last_byte_is_there_and_not_before() {
        let sized = b"MESSAGE\r\nsubscription:7\ncontent-length:3\n\na\0b\0".as_slice();
        let open = b"MESSAGE\nsubscription:7\n\nab\0".as_slice();
        for (wire, body) in [(sized, b"a\0b".as_slice()), (open, b"ab".as_slice())] {
            let mut parser = Parser::default();
            for len in 0..wire.len() {
                assert_eq!(parser.next(&wire[..len]).unwrap(), None, "{len}");
            }
            let more = [wire, b"\nRECEIPT\n"].concat();
            let (frame, len) = parser.next(&more).unwrap().unwrap();
            assert_eq!((frame.command, frame.body), ("MESSAGE", body));
            assert_eq!(frame.header("subscription"), Some("7"));
            assert_eq!(len, wire.len());
        }
    }

    #[test]
    fn a_frame_after_a_long_one_is_looked_at_from_its_beginning() {
        let wire = b"MESSAGE\n\nlong long\0MESSAGE\n\n\0";
        let mut parser = Parser::default();
        assert!(parser.next(&wire[..15]).unwrap().is_none());
        let (_, len) = parser.next(wire).unwrap().unwrap();
        let (frame, _) = parser.next(&wire[len..]).unwrap().unwrap();
        assert_eq!(frame.body, b"");
    }

    #[test]
    fn headers_come_back_as_they_were_and_the_first_of_a_name_counts() {
        let odd = "a:b\\c\r\nd ü";
        let mut out = Vec::new();
        write("SEND", [(odd, odd), (odd, "second")], b"", &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 4);
        let (frame, _) = Parser::default().next(&out).unwrap().unwrap();
        assert_eq!(frame.header(odd), Some(odd));
    }

    #[test]
    fn the_greeting_is_not_escaped() {
        let wire = b"CONNECTED\nserver:a\\b:c\n\n\0";
        let (frame, _) = Parser::default().next(wire).unwrap().unwrap();
        assert_eq!(frame.header("server"), Some("a\\b:c"));
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_wait_for_more() {
        for wire in [
            "HTTP/1.1 400 Bad Request\r\n\r\n".into(),
            "MESSAGE\nno header\n\n\0".into(),
            "MESSAGE\na:\\t\n\n\0".into(),
            "MESSAGE\na:\\\n\n\0".into(),
            "MESSAGE\ncontent-length:-1\n\n\0".into(),
            format!("MESSAGE\ncontent-length:{}\n\n\0", u64::MAX),
            "MESSAGE\ncontent-length:1\n\nab\0".into(),
            "MESSAGE\0".into(),
            "x".repeat(LONGEST_HEAD),
            "a:b\n".repeat(LONGEST_HEAD / 4),
        ] {
            let next = Parser::default().next(wire.as_bytes()).map(drop);
            assert!(next.is_err(), "{wire:.40}");
        }
        assert!(Parser::default().next(b"MESSAGE\na:\xff\n\n\0").is_err());
    }

    #[test]
    fn line_ends_between_frames_are_beats() {
        assert_eq!(beats(b"\n\r\n\nMESSAGE\n"), 4);
        assert_eq!(beats(b"MESSAGE\n"), 0);
    }
}
