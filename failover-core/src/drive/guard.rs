//! A user's hooks, with their panics caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::{String, ToString};

use crate::policy::{DelayAnswer, DelayAsked, Hooks};

/// Hooks whose panics become the policy's own answer and a note.
pub(crate) struct Guarded<'a> {
    pub(crate) hooks: &'a mut (dyn Hooks + Send),
    /// The message of a panic that was caught, and that there was one.
    pub(crate) panicked: Option<Option<String>>,
}

impl Hooks for Guarded<'_> {
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        catch_unwind(AssertUnwindSafe(|| self.hooks.delay(asked))).unwrap_or_else(|panic| {
            self.panicked = Some(message(&*panic));
            DelayAnswer::AsSuggested
        })
    }
}

fn message(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().copied();
    text.map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
}
