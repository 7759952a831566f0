//! A dialer whose connections are turned into something else.

use crate::dial::{Dial, DialContext};
use crate::directory::Target;
use crate::endpoint::Security;

/// Made by [`Dial::map`].
#[derive(Clone, Debug)]
pub struct Map<D, F> {
    dialer: D,
    turn: F,
}

impl<D, F> Map<D, F> {
    pub(crate) fn new(dialer: D, turn: F) -> Self {
        Self { dialer, turn }
    }
}

impl<D, F, C> Dial for Map<D, F>
where
    D: Dial,
    F: Fn(D::Conn) -> C + Send + Sync,
    C: Send + 'static,
{
    type Conn = C;
    type Error = D::Error;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<C, D::Error> {
        self.dialer.dial(to, cx).await.map(&self.turn)
    }

    fn security(&self, to: &Target) -> Security {
        self.dialer.security(to)
    }

    fn check(&self, to: &Target) -> Result<(), D::Error> {
        self.dialer.check(to)
    }
}
