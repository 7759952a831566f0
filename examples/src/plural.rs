//! Numbers of things, in words.

use std::fmt::Display;

/// `1 server`, `2 servers`.
///
/// ```
/// use examples::plural::counted;
///
/// assert_eq!(counted(1, "server"), "1 server");
/// assert_eq!(counted(0, "server"), "0 servers");
/// ```
#[must_use]
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, one: &str) -> String {
    match number == N::from(1) {
        true => format!("1 {one}"),
        false => format!("{number} {one}s"),
    }
}
