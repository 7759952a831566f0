//! An upgrade that the server refused with an HTTP status.

use std::fmt;
use std::time::{Duration, SystemTime};

use failover_core::directory::Url;
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};

use crate::handshake::Head;
use crate::redirect::NotFollowed;

/// The server answered the upgrade with another status than 101.
///
/// | status | failure |
/// |---|---|
/// | 401, 403 | [`Kind::Auth`], this endpoint |
/// | 408, 429, 5xx | [`Kind::Upgrade`], transient |
/// | all others, also 2xx and 3xx | [`Kind::Upgrade`], this endpoint |
///
/// The status is the failure's code, `Retry-After` its hint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The beginning of the body, as far as it comes within 100 ms: at most [`MAX_EXCERPT`] bytes in one
    /// line, of a page its words without the tags, credentials of the request as `***`.
    pub excerpt: String,
    /// `Retry-After`, given in seconds or as a date. A date is compared with the server's own
    /// `Date`, if it sent one, so that a wrong clock on either side does no harm.
    pub retry_after: Option<Duration>,
    /// Where the server points, without userinfo and query.
    pub location: Option<String>,
    /// Why a redirect was not followed; nothing if it was none.
    pub not_followed: Option<NotFollowed>,
}

/// The most bytes of a refusal's body that are kept.
pub const MAX_EXCERPT: usize = 512;

impl Refusal {
    /// What this answer says, with these texts hidden.
    pub(crate) fn new(head: &Head, body: &[u8], secrets: &[String], now: SystemTime) -> Self {
        Self {
            status: head.status,
            excerpt: excerpt(body, secrets),
            retry_after: retry_after(head, now),
            location: head
                .text("location")
                .map(|location| bounded(&hide(visible_location(location), secrets), 200)),
            not_followed: None,
        }
    }

    pub(crate) fn not_followed(mut self, why: Option<NotFollowed>) -> Self {
        self.not_followed = why;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server refused the WebSocket upgrade with status {}",
            self.status
        )?;
        if let Some(location) = &self.location {
            write!(f, " and points to `{location}`")?;
        }
        if let Some(why) = self.not_followed {
            write!(f, " ({why})")?;
        }
        if let Some(after) = self.retry_after {
            write!(f, ", to be tried again after {} s", after.as_secs())?;
        }
        if !self.excerpt.is_empty() {
            write!(f, ": {}", self.excerpt)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

impl Classify for Refusal {
    fn failure(&self) -> Failure {
        let failure = match self.status {
            401 | 403 => Failure::new(Kind::Auth).scope(Scope::Endpoint),
            408 | 429 | 500..=599 => Failure::new(Kind::Upgrade),
            _ => Failure::new(Kind::Upgrade).scope(Scope::Endpoint),
        };
        let failure = failure.at(Phase::Upgrade).code(u32::from(self.status));
        match self.retry_after {
            Some(after) => failure.retry_after(after),
            None => failure,
        }
    }
}

/// Seconds or an HTTP date; anything else is no hint.
fn retry_after(head: &Head, now: SystemTime) -> Option<Duration> {
    let value = head.text("retry-after")?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let now = head
        .text("date")
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or(now);
    Some(then.duration_since(now).unwrap_or(Duration::ZERO))
}

/// A `Location`, absolute or not, without userinfo, query and fragment.
fn visible_location(location: &str) -> String {
    match location.parse::<Url>() {
        Ok(url) => url.without_userinfo().to_string(),
        // Relative; what may hold userinfo, as `//joe:pw@b/x` does, is not shown.
        Err(_) if location.contains('@') => "***".to_owned(),
        Err(_) => location
            .split(['?', '#'])
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn excerpt(body: &[u8], secrets: &[String]) -> String {
    let text = hide(String::from_utf8_lossy(body).into_owned(), secrets);
    let text = match text.trim_start().starts_with('<') {
        true => without_tags(&text),
        false => text,
    };
    let one_line = text.replace(|c: char| c.is_control(), " ");
    let words: Vec<&str> = one_line.split_whitespace().collect();
    bounded(&words.join(" "), MAX_EXCERPT)
}

/// The words of a page: what stands between `<` and `>` is left out.
fn without_tags(page: &str) -> String {
    let parts = page.split('<').skip(1);
    parts
        .map(|part| part.split_once('>').map_or("", |(_, words)| words))
        .collect::<Vec<&str>>()
        .join(" ")
}

fn hide(text: String, secrets: &[String]) -> String {
    secrets
        .iter()
        .fold(text, |text, secret| text.replace(secret.as_str(), "***"))
}

fn bounded(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&str, &str)]) -> Refusal {
        answer_with(headers, &[], "")
    }

    fn answer_with(headers: &[(&str, &str)], secrets: &[String], body: &str) -> Refusal {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:30 GMT").unwrap();
        Refusal::new(&Head::with(503, headers), body.as_bytes(), secrets, now)
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (headers, seconds) in [
            (vec![("retry-after", "120")], Some(120)),
            (vec![("retry-after", date)], Some(7)),
            (
                vec![
                    ("retry-after", date),
                    ("date", "Sun, 06 Nov 1994 08:49:07 GMT"),
                ],
                Some(30),
            ),
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")],
                Some(0),
            ),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "99999999999999999999999")], None),
            (vec![], None),
        ] {
            let refusal = answer(&headers);
            assert_eq!(
                refusal.retry_after,
                seconds.map(Duration::from_secs),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn a_location_shows_neither_userinfo_nor_query() {
        for (location, shown) in [
            ("wss://joe:pw@b:1/x?token=t", "wss://b:1/x?***"),
            ("/login?token=t", "/login"),
            ("//joe:pw@b/x", "***"),
        ] {
            let refusal = answer(&[("location", location)]);
            assert_eq!(refusal.location.as_deref(), Some(shown));
        }
    }

    #[test]
    fn the_excerpt_is_one_bounded_line_without_secrets() {
        let body = format!("no\r\n\u{1b}[31m hunter2 {}", "ä".repeat(MAX_EXCERPT));
        let refusal = answer_with(&[], &["hunter2".to_owned()], &body);
        assert!(refusal.excerpt.starts_with("no [31m *** ää"));
        assert!(refusal.excerpt.len() <= MAX_EXCERPT);
    }

    #[test]
    fn of_a_page_the_words_are_kept() {
        let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>Sorry.</body";
        assert_eq!(
            answer_with(&[], &[], page).excerpt,
            "502 Bad Gateway Sorry."
        );
        assert_eq!(answer_with(&[], &[], "1 < 2").excerpt, "1 < 2");
    }
}
