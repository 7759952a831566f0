//! The known word that is nearest to a mistyped one.

/// The nearest of these words, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let enough = typed.chars().count() / 3 + 1;
    known
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, _)| *distance <= enough)
        .min()
        .map(|(_, word)| word)
}

/// How many letters must be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        row[0] = left;
        for (at, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[at + 1];
            left = changed.min(left + 1).min(diagonal + 1);
            row[at + 1] = left;
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["endpoint", "command", "world"];
        assert_eq!(nearest("endpiont", known.into_iter()), Some("endpoint"));
        assert_eq!(nearest("wrold", known.into_iter()), Some("world"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
