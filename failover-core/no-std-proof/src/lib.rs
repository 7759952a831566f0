//! Links the machine without std. See Cargo.toml.
#![no_std]

extern crate alloc;

use alloc::sync::Arc;
use core::alloc::{GlobalAlloc, Layout};

use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::machine::{Input, Machine, Outbox};
use failover_core::policy::{NoHooks, Policy, Seed};
use failover_core::time::Time;

/// Runs a machine through its first step and tells how much work it has.
#[unsafe(no_mangle)]
pub extern "C" fn first_step(seed: u64) -> usize {
    let endpoints = [Traits::new(EndpointId::new(0)).route(Security::Tls)];
    let mut machine = Machine::new(Arc::new(Policy::default()), endpoints, Seed::new(seed));
    let mut out = Outbox::default();
    machine.handle(Input::Start, &mut NoHooks, &mut out, Time::ZERO);
    machine.handle(Input::Wake, &mut NoHooks, &mut out, Time::MAX);
    out.as_slice().len()
}

/// Has no memory to give: the proof is linked, not run.
struct Nothing;

// SAFETY: it hands out no memory, so that nothing it promises can be broken.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOTHING: Nothing = Nothing;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
