//! A user's hooks, with their panics caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::{String, ToString};

use crate::policy::{
    Admission, AdmitAsked, Choice, ChoiceAsked, DelayAnswer, DelayAsked, Hooks, JudgeAsked,
    Reaction,
};

/// Hooks whose panics become the policy's own answer and a note.
pub(crate) struct Guarded<'a> {
    pub(crate) hooks: &'a mut (dyn Hooks + Send),
    /// The message of a panic that was caught, and that there was one.
    pub(crate) panicked: Option<Option<String>>,
}

impl Guarded<'_> {
    fn ask<T>(&mut self, fallback: T, ask: impl FnOnce(&mut (dyn Hooks + Send)) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| ask(&mut *self.hooks))).unwrap_or_else(|panic| {
            self.panicked = Some(message(&*panic));
            fallback
        })
    }
}

impl Hooks for Guarded<'_> {
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        self.ask(DelayAnswer::AsSuggested, |hooks| hooks.delay(asked))
    }

    fn choose(&mut self, asked: &ChoiceAsked) -> Choice {
        self.ask(Choice::AsSuggested, |hooks| hooks.choose(asked))
    }

    fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
        self.ask(asked.suggested, |hooks| hooks.judge(asked))
    }

    /// A filter that panics admits nobody.
    fn admit(&mut self, asked: &AdmitAsked<'_>) -> Admission {
        self.ask(Admission::Refuse, |hooks| hooks.admit(asked))
    }
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().copied();
    text.map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
}
