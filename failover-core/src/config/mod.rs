//! Text to policies and endpoints: the `failover:` URI, and, with the feature `serde`, whole
//! deployments. Nothing half-parsed leaves this floor; the machine never imports it.

mod duration;
mod uri;

#[cfg(feature = "serde")]
mod deployment;
#[cfg(feature = "serde")]
mod form;
#[cfg(feature = "serde")]
mod keyed;
#[cfg(feature = "serde")]
mod link;
#[cfg(feature = "serde")]
mod policy;
#[cfg(feature = "serde")]
mod secret;
#[cfg(feature = "serde")]
mod value;

use std::string::{String, ToString};

#[cfg(feature = "serde")]
pub use self::deployment::{ConfigError, Deployment, EndpointForm, ServerForm, UrlText, VERSION};
pub use self::duration::{DurationError, parse_duration, print_duration};
#[cfg(feature = "serde")]
pub use self::keyed::Keyed;
#[cfg(feature = "serde")]
pub use self::link::{
    BoundsForm, HeartbeatForm, LinkForm, LinkFormError, OutboxForm, ReplayForm, ReplyForm,
};
#[cfg(feature = "serde")]
pub use self::policy::{
    ClassForm, FailbackForm, FormError, HealthForm, LawName, LimitsForm, MaxAgeForm, OrderForm,
    PaceForm, PolicyForm, RaceForm, RawReaction, ResumeForm, StandingForm,
};
#[cfg(feature = "serde")]
pub use self::secret::{SecretError, SecretForm};
pub use self::uri::{FailoverUri, UriError, UriProblem};
#[cfg(feature = "serde")]
pub use self::value::{Bound, Factor, Span, SpreadText, Switch, Word, Worded};

/// The known word nearest to this one, if it is near enough to be meant; for errors of one's own.
///
/// ```
/// use failover_core::config::nearest;
///
/// assert_eq!(nearest("dedline", ["deadline", "jitter"]), Some("deadline"));
/// assert_eq!(nearest("colour", ["deadline", "jitter"]), None);
/// ```
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let word = plain(word);
    known
        .into_iter()
        .map(|known| (distance(&word, &plain(known)), known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3)
        .map(|(_, known)| known)
}

/// How many letters must be put in, left out, changed, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (std::vec::Vec<char>, std::vec::Vec<char>) =
        (a.chars().take(64).collect(), b.chars().collect());
    // Of the beginnings of `a`: the one without its last two letters, without its last, and whole.
    let mut before = std::vec::Vec::new();
    let mut row: std::vec::Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = std::vec::Vec::from([i + 1]);
        for (j, y) in b.iter().enumerate() {
            let mut least = (row[j] + usize::from(x != y))
                .min(row[j + 1] + 1)
                .min(next[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

/// Whether the text of an error may hold a login or a token: an at sign, plain or percent-encoded, or the query
/// of a URL, unless `***` stands in their place. For readers of one's own, whose errors repeat what was written.
///
/// ```
/// use failover_core::config::may_tell_a_login;
///
/// assert!(may_tell_a_login("invalid type: string \"tcp://joe:secret@a\", expected a list"));
/// assert!(may_tell_a_login("invalid type: string \"wss://a/?token=secret\", expected a list"));
/// assert!(!may_tell_a_login("`tcp://***@a:x` is not an endpoint's URL"));
/// ```
#[must_use]
pub fn may_tell_a_login(text: &str) -> bool {
    let open = text.replace("://***@", "://").replace("?***", "");
    let url = open.split_once("://").map_or("", |(_, behind)| behind);
    open.contains('@') || open.contains("%40") || url.contains('?')
}

/// A text for an error message: short, and nothing that may hold credentials.
pub(crate) fn shown(text: &str) -> String {
    if may_tell_a_login(text) {
        return "***".to_string();
    }
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["deadline", "stable_after", "jitter"];
        assert_eq!(nearest("dedline", known), Some("deadline"));
        assert_eq!(nearest("stableAfter", known), Some("stable_after"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("tsl", ["tcp", "tls", "ws"]), Some("tls"));
        for (a, b, far) in [
            ("kitten", "sitting", 3),
            ("tsl", "tls", 1),
            ("", "ab", 2),
            ("ab", "", 2),
        ] {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        assert_eq!(shown("tcp://joe:secret@host"), "***");
        assert_eq!(shown("250"), "250");
        assert!(shown(&"x".repeat(100)).chars().count() <= 41);
    }
}
