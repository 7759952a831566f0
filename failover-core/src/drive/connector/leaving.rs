//! Sessions that finish while the next one runs.

use std::boxed::Box;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::Vec;

/// How many sessions may leave at the same time.
const LEAVING: usize = 4;

/// Sessions whose connections are to be left, each until its grace is over.
pub(super) struct Leaving<F, S>(Vec<Left<F, S>>);

/// A session, and the end of its grace.
type Left<F, S> = (Pin<Box<F>>, Pin<Box<S>>);

impl<F: Future, S: Future<Output = ()>> Leaving<F, S> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, session: Pin<Box<F>>, grace: Pin<Box<S>>) {
        if self.0.len() == LEAVING {
            self.0.remove(0);
        }
        self.0.push((session, grace));
    }

    /// Ready when all are gone.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|(session, grace)| {
            session.as_mut().poll(cx).is_pending() && grace.as_mut().poll(cx).is_pending()
        });
        match self.0.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
