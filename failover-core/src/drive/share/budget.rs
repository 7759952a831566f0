//! Retries as a share of what succeeds, so that they do not become the load themselves.

use std::boxed::Box;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::drive::clock::Clock;
use crate::drive::share::locked;
use crate::policy::Ratio;
use crate::time::{Time, nanos};

/// How many retries are allowed in a window of time. (Finagle's and linkerd's retry budget, Envoy's
/// is similar.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetRules {
    /// The window. Default 10 s; less than 10 ns counts as that.
    pub window: Duration,
    /// Retries in a window that are allowed whatever happens. Default 100. Not zero: when every
    /// server is gone, somebody must find out that they are back.
    pub reserve: NonZeroU32,
    /// Retries allowed beside these for each dial of the window that gave a connection. Default 20 %.
    pub share: Ratio,
}

impl Default for BudgetRules {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            reserve: NonZeroU32::MIN.saturating_add(99),
            share: Ratio::from_ppm(200_000),
        }
    }
}

impl BudgetRules {
    /// The same over this window.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// The same with so many retries that are allowed whatever happens.
    #[must_use]
    pub fn reserve(mut self, reserve: NonZeroU32) -> Self {
        self.reserve = reserve;
        self
    }

    /// The same with this share of the dials that succeeded.
    #[must_use]
    pub fn share(mut self, share: Ratio) -> Self {
        self.share = share;
        self
    }
}

/// A budget of retries over all connectors that it is given to. Clones are the same budget.
///
/// A retry is a dial that is not the first of its outage (or of its move, spare or probe); the first
/// is always free. What is not in the budget is not lost, it waits, before its deadline begins, and
/// looks again when the oldest tenth of the window is over. Those that wait stand in no line.
///
/// ```
/// # use std::future::{Ready, ready};
/// # use failover_core::time::Time;
/// use std::num::NonZeroU32;
/// use failover_core::drive::{BudgetRules, Clock, RetryBudget};
/// # struct MyClock;
/// # impl Clock for MyClock { type Sleep = Ready<()>;
/// #   fn now(&self) -> Time { Time::ZERO }
/// #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
///
/// let budget = RetryBudget::new(BudgetRules::default().reserve(NonZeroU32::MIN), MyClock);
/// assert_eq!(budget.left(), 1);
/// ```
#[derive(Clone)]
pub struct RetryBudget {
    inside: Arc<Inside>,
}

struct Inside {
    rules: BudgetRules,
    now: Box<dyn Fn() -> Time + Send + Sync>,
    book: Mutex<[Slice; SLICES]>,
}

/// The window moves in steps of a tenth.
const SLICES: usize = 10;

/// A tenth of a window.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// Which tenth since the clock's epoch.
    number: u64,
    connections: u32,
    retries: u32,
}

impl RetryBudget {
    /// A budget by these rules. The clock may be another than the connectors'.
    #[must_use]
    pub fn new(rules: BudgetRules, clock: impl Clock) -> Self {
        Self {
            inside: Arc::new(Inside {
                rules,
                now: Box::new(move || clock.now()),
                book: Mutex::default(),
            }),
        }
    }

    /// How many retries are allowed at this moment.
    #[must_use]
    pub fn left(&self) -> u32 {
        let (number, _) = self.slice();
        locked(&self.inside.book, |book| self.balance(book, number))
    }

    /// Books a retry, or says after how much time to ask again.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        let (number, ends_in) = self.slice();
        locked(&self.inside.book, |book| {
            if self.balance(book, number) == 0 {
                return Err(ends_in);
            }
            let slice = at(book, number);
            slice.retries = slice.retries.saturating_add(1);
            Ok(())
        })
    }

    /// A dial gave a connection.
    pub(crate) fn connected(&self) {
        let (number, _) = self.slice();
        locked(&self.inside.book, |book| {
            let slice = at(book, number);
            slice.connections = slice.connections.saturating_add(1);
        });
    }

    /// The running tenth, and how long it lasts.
    fn slice(&self) -> (u64, Duration) {
        let length = (nanos(self.inside.rules.window) / SLICES as u64).max(1);
        let now = (self.inside.now)().as_nanos();
        (now / length, Duration::from_nanos(length - now % length))
    }

    fn balance(&self, book: &[Slice; SLICES], number: u64) -> u32 {
        let rules = &self.inside.rules;
        let (mut connections, mut retries) = (0_u64, 0_u64);
        for slice in book {
            if number - slice.number.min(number) < SLICES as u64 {
                connections += u64::from(slice.connections);
                retries += u64::from(slice.retries);
            }
        }
        let shared = connections * u64::from(rules.share.ppm()) / u64::from(Ratio::ONE.ppm());
        let allowed = u64::from(rules.reserve.get()) + shared;
        u32::try_from(allowed.saturating_sub(retries)).unwrap_or(u32::MAX)
    }
}

/// The page of this tenth, emptied if it was an older one's.
fn at(book: &mut [Slice; SLICES], number: u64) -> &mut Slice {
    let page = usize::try_from(number % SLICES as u64).unwrap_or(0);
    let slice = &mut book[page];
    if slice.number != number {
        *slice = Slice {
            number,
            ..Slice::default()
        };
    }
    slice
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("rules", &self.inside.rules)
            .field("left", &self.left())
            .finish()
    }
}
