//! Draws so many delays of ours, for a tool that counts instructions.

use std::hint::black_box;

fn main() {
    let number = std::env::args()
        .nth(1)
        .and_then(|number| number.parse().ok());
    let policy = failover_bench::ours();
    let mut waits = black_box(failover_bench::waits(&policy, 1));
    for _ in 0..number.unwrap_or(0_u32) {
        black_box(waits.next());
    }
}
