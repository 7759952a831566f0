//! proptest strategies over the generated cases.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

use crate::testing::Case;

/// Any case. It shrinks as its bytes do: to fewer and smaller ones, which make a simpler case.
///
/// ```
/// use failover_core::testing::{laws, strategy};
/// use proptest::prelude::*;
///
/// proptest!(ProptestConfig::with_cases(8), |(case in strategy::any_case())| {
///     laws::l08_rate(&case.storm())?;
/// });
/// ```
pub fn any_case() -> impl Strategy<Value = Case> {
    vec(any::<u8>(), 0..320).prop_map(|bytes| Case::from_bytes(&bytes))
}
