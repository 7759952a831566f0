//! That what is written is read back: L16.

use core::fmt::{Debug, Display};

use crate::testing::laws::{Violation, violation};

/// **L16 round trip** of configuration, in anybody's form: what `print` writes of this value, `read`
/// reads back as the same value.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::laws;
///
/// let print = |wait: &Duration| wait.as_millis().to_string();
/// let read = |text: &str| text.parse().map(Duration::from_millis);
/// assert_eq!(laws::l16_round_trip(&Duration::from_secs(3), print, read), Ok(()));
/// assert!(laws::l16_round_trip(&Duration::from_nanos(3), print, read).is_err());
/// ```
///
/// # Errors
/// What was read instead, or why nothing was; with the text. (Do not give it what must stay secret.)
pub fn l16_round_trip<T: Debug + PartialEq, E: Display>(
    value: &T,
    print: impl FnOnce(&T) -> String,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<(), Violation> {
    let text = print(value);
    match read(&text) {
        Ok(back) if back == *value => Ok(()),
        Ok(back) => violation(
            "L16",
            0,
            format!("{value:?} is read back as {back:?}, from {text:?}"),
        ),
        Err(error) => violation(
            "L16",
            0,
            format!("{value:?} is not read back, from {text:?}: {error}"),
        ),
    }
}
