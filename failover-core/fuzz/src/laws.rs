//! Bytes become a case, the case a life, and no law may break in it; once the world has healed, the
//! client is connected within the bound.
#![no_main]

use failover_core::sim::Trace;
use failover_core::testing::{Case, laws};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (trace, healed) = Case::from_bytes(bytes).storm_and_calm();
    for (_, law) in laws::ALL {
        keeps(&trace, law(&trace));
    }
    keeps(&trace, laws::l17_recovery(&trace, healed));
});

fn keeps(trace: &Trace, verdict: Result<(), laws::Violation>) {
    if let Err(violation) = verdict {
        panic!("{violation}\n{trace}");
    }
}
