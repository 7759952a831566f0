//! Headers that are asked for at every dial.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use failover_core::directory::{Secret, Target};
use failover_core::failure::{Classify, Failure};

/// A user's function, with its types erased.
#[derive(Clone)]
pub(crate) struct Ask(Arc<Function>);

type Function = dyn Fn(&Target) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;
type Answer = Result<Vec<(String, Secret)>, AskError>;

impl Ask {
    pub(crate) fn new<F, E>(ask: impl Fn(&Target) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<(String, Secret)>, E>> + Send + 'static,
        E: StdError + Classify + Send + Sync + 'static,
    {
        Self(Arc::new(move |to| {
            let answer = ask(to);
            Box::pin(async move { answer.await.map_err(AskError::new) })
        }))
    }

    pub(crate) async fn headers(&self, to: &Target) -> Answer {
        (self.0)(to).await
    }
}

/// The error of a function given to [`Ws::ask_headers`](crate::Ws::ask_headers), with its type
/// erased and its failure kept.
pub struct AskError {
    error: Box<dyn StdError + Send + Sync>,
    failure: Failure,
}

impl AskError {
    fn new(error: impl StdError + Classify + Send + Sync + 'static) -> Self {
        Self {
            failure: error.failure(),
            error: Box::new(error),
        }
    }

    /// The function's own error, to be downcast.
    #[must_use]
    pub fn inner(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.error
    }
}

impl Classify for AskError {
    fn failure(&self) -> Failure {
        self.failure
    }
}

impl fmt::Debug for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl StdError for AskError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}
