//! The race over real sockets, on a paused clock, and its arithmetic as properties.

use std::sync::Arc;

use failover_core::attempt::{AttemptId, Purpose};
use failover_core::drive::Clock;
use failover_core::failure::{Classify, Kind};
use proptest::prelude::*;
use tokio::net::TcpListener;

use super::*;
use crate::{TcpError, TokioClock};

const OPTIONS: TcpOptions = TcpOptions::new();

#[tokio::test(start_paused = true)]
async fn a_refusing_address_is_passed_over_at_once() {
    let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = vec![refusing().await, live.local_addr().unwrap()];
    let cx = context(Duration::from_secs(10));
    let stream = connect(&Racing::default(), &addresses, &cx).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    assert_eq!(cx.trail().address(), Some(addresses[1]));
    assert_eq!(cx.remaining(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_costs_one_stagger_and_is_closed() {
    let (_full, silent) = silent().await;
    let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = vec![silent, live.local_addr().unwrap()];
    let cx = context(Duration::from_secs(10));
    let racing = Racing::default();
    let stream = connect(&racing, &addresses, &cx).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    let took = Duration::from_secs(10) - cx.remaining();
    let late = took - Duration::from_millis(250);
    assert!(late <= Duration::from_millis(2), "{took:?}");
    assert_eq!(cx.trail().address(), Some(addresses[1]));
}

#[tokio::test(start_paused = true)]
async fn without_a_race_a_silent_address_takes_no_more_than_its_share() {
    let (_full, silent) = silent().await;
    let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = vec![silent, live.local_addr().unwrap()];
    let cx = context(Duration::from_secs(10));
    let racing = Racing::new(Race::OFF);
    let stream = connect(&racing, &addresses, &cx).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    assert_eq!(cx.remaining(), Duration::from_secs(5), "of 10");
}

#[tokio::test(start_paused = true)]
async fn when_all_addresses_fail_each_is_in_the_error() {
    let (_full, silent) = silent().await;
    let refusing = refusing().await;
    let cx = context(Duration::from_secs(10));
    let racing = Racing::new(Race::OFF);
    let failed = connect(&racing, &[silent, refusing], &cx).await;
    let error = TcpError::connect("db", failed.unwrap_err());
    assert_eq!(error.failure().kind, Kind::Timeout);
    let text = error.to_string();
    assert!(text.starts_with("cannot connect to `db`: "), "{text}");
    let told = format!("{silent}: no answer within its share of the deadline, 5s");
    assert!(text.contains(&told), "{text}");
    assert!(text.ends_with(&refusing.to_string()), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_ipv6_beside_a_good_ipv4_costs_nothing_to_speak_of() {
    let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // The address space for documentation: unreachable at once, or never answered.
    let dead = |n: u16| {
        SocketAddr::new(
            std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into(),
            9,
        )
    };
    let addresses = vec![dead(1), dead(2), dead(3), live.local_addr().unwrap()];
    let cx = context(Duration::from_secs(10));
    let stream = connect(&Racing::default(), &addresses, &cx).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addresses[3]);
    let took = Duration::from_secs(10) - cx.remaining();
    assert!(
        took <= Duration::from_millis(252),
        "second in line: {took:?}"
    );
}

proptest! {
    #[test]
    fn however_many_addresses_there_are_the_shares_fit_into_the_deadline(
        seconds in 1_u64..600, addresses in 1_usize..200, most in 1_usize..9,
    ) {
        let deadline = Duration::from_secs(seconds);
        let (mut now, mut left) = (Duration::ZERO, addresses);
        // The worst: all are silent; a wave ends when its first has used up its share.
        while left > 0 {
            let Some(share) = share(deadline - now, left, most) else {
                prop_assert!(left <= most, "only the last wave has no limit");
                return Ok(());
            };
            prop_assert!(share < deadline - now);
            prop_assert!(!share.is_zero());
            now += share;
            left -= most.min(left);
        }
        prop_assert!(now < deadline);
    }

    #[test]
    fn every_address_is_tried_once_and_families_alternate_while_both_last(
        drawn in proptest::collection::vec((any::<bool>(), 0_u16..12), 1..40),
    ) {
        let address = |&(six, n): &(bool, u16)| {
            if six { SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, n], 1)) }
            else { SocketAddr::from(([192, 0, 2, n.to_le_bytes()[0]], 1)) }
        };
        let before: Vec<_> = drawn.iter().map(address).collect();
        let mut after = before.clone();
        arrange(&mut after);
        let once: BTreeSet<_> = before.iter().collect();
        prop_assert_eq!(after.len(), once.len());
        prop_assert_eq!(after.iter().collect::<BTreeSet<_>>(), once);
        prop_assert_eq!(after.first(), before.first());
        // From the first pair of one family on, nothing but that family is left.
        let pair = after.windows(2).position(|two| two[0].is_ipv6() == two[1].is_ipv6());
        if let Some(at) = pair {
            prop_assert!(after[at..].iter().all(|one| one.is_ipv6() == after[at].is_ipv6()));
        }
        for six in [false, true] {
            let of = |list: &[SocketAddr]| -> Vec<_> {
                let mut seen = BTreeSet::new();
                list.iter().copied().filter(|a| a.is_ipv6() == six && seen.insert(*a)).collect()
            };
            prop_assert_eq!(of(&after), of(&before), "the resolver's order within a family");
        }
    }
}

#[test]
fn the_address_that_failed_goes_last_whatever_the_port_of_the_route_was() {
    let list = ["192.0.2.1:443", "192.0.2.2:443", "192.0.2.3:443"];
    let list = list.map(|address| address.parse::<SocketAddr>().unwrap());
    for (failed, first) in [
        ("192.0.2.1:443", 1),
        ("192.0.2.1:4222", 1),
        ("192.0.2.3:4222", 0),
        ("192.0.2.9:443", 0),
    ] {
        let mut addresses = list;
        begin_behind(&mut addresses, Some(failed.parse().unwrap()));
        assert_eq!(addresses[0], list[first], "{failed}");
    }
}

async fn connect(
    racing: &Racing,
    addresses: &[SocketAddr],
    cx: &DialContext,
) -> Result<TcpStream, Vec<AddressError>> {
    racing.connect(addresses.to_vec(), &OPTIONS, cx).await
}

fn context(deadline: Duration) -> DialContext {
    let clock = TokioClock::new();
    DialContext::new(
        AttemptId::new(0),
        1,
        Purpose::First,
        clock.now() + deadline,
        Arc::new(move || clock.now()),
    )
}

async fn refusing() -> SocketAddr {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    gone.local_addr().unwrap()
}

/// An address whose accept queue is full, so that it answers no more.
async fn silent() -> (impl Sized, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = TcpStream::connect(address).await.unwrap();
    ((listener, first), address)
}
