//! Text to policies and endpoints: the `failover:` URI, and, with the feature `serde`, whole
//! deployments. Nothing half-parsed leaves this floor; the machine never imports it.

mod duration;
mod uri;

#[cfg(feature = "serde")]
mod deployment;
#[cfg(feature = "serde")]
mod form;
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

/// The known word nearest to this one, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let word = plain(word);
    known
        .into_iter()
        .map(|known| (distance(&word, &plain(known)), known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3)
        .map(|(_, known)| known)
}

/// How many letters must be put in, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: std::vec::Vec<char> = b.chars().collect();
    let mut row: std::vec::Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (place, y) in row.iter_mut().skip(1).zip(&b) {
            let changed = before + usize::from(x != *y);
            before = *place;
            left = changed.min(before + 1).min(left + 1);
            *place = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A text for an error message: short, and nothing that may hold credentials.
pub(crate) fn shown(text: &str) -> String {
    if text.contains('@') {
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
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        assert_eq!(shown("tcp://joe:secret@host"), "***");
        assert_eq!(shown("250"), "250");
        assert!(shown(&"x".repeat(100)).chars().count() <= 41);
    }
}
