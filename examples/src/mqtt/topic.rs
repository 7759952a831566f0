//! Topics and filters. (MQTT 3.1.1, chapter 4.7)

use crate::mqtt::packet::LONGEST_TEXT;

/// Whether this may be published to.
pub(super) fn is_topic(topic: &str) -> bool {
    is_text(topic) && !has_wildcards(topic)
}

/// Whether this filter may match more topics than one.
pub(super) fn has_wildcards(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether this may be subscribed to.
pub(super) fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').rev();
    let last = levels.next().unwrap_or_default();
    let fine = |level: &str| level == "+" || !has_wildcards(level);
    is_text(filter) && (last == "#" || fine(last)) && levels.all(fine)
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_TEXT && !text.contains('\0')
}

/// Whether a message to this topic is for who subscribed to this filter.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    // A wildcard at the beginning does not stand for `$SYS`.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            (Some(_) | None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, is_match) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("#", "a/b", true),
            ("#", "/", true),
            ("+", "a", true),
            ("+", "/a", false),
            ("/+", "/a", true),
            ("+/+", "/a", true),
            ("a/+", "a", false),
            ("a/+/c", "a//c", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
        ] {
            assert_eq!(matches(filter, topic), is_match, "{filter} {topic}");
        }
    }

    #[test]
    fn wildcards_stand_for_whole_levels_of_filters_and_for_nothing_in_topics() {
        for filter in ["a", "+", "#", "a/+/#", "/", "+/a"] {
            assert!(is_filter(filter), "{filter}");
        }
        for wrong in ["", "a#", "#/a", "a+/b", "a/#b", "a\0"] {
            assert!(!is_filter(wrong), "{wrong}");
        }
        assert!(is_topic("a/b") && !is_topic("a/+") && !is_topic("#") && !is_topic(""));
        assert!(!is_topic(&"x".repeat(LONGEST_TEXT + 1)));
    }
}
