//! The order of addresses before a race.

/// Sorts a list so that neighbours are of different families for as long as there are any: RFC 8305
/// with a first address family count of 1.
///
/// The first stays first, and those of one family keep their order, so that the resolver's
/// preference (RFC 6724) decides both. O(n²) moves at worst, no memory.
///
/// ```
/// use failover_core::race::interleave;
/// use std::net::IpAddr;
///
/// let mut addresses: Vec<IpAddr> = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"]
///     .map(|address| address.parse().unwrap())
///     .into();
/// interleave(&mut addresses, IpAddr::is_ipv6);
/// let sorted: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
/// assert_eq!(sorted, ["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"]);
/// ```
pub fn interleave<T, F: PartialEq>(list: &mut [T], family: impl Fn(&T) -> F) {
    for place in 1..list.len() {
        let Some((before, rest)) = list.split_at_mut_checked(place) else {
            return;
        };
        let Some(last) = before.last().map(&family) else {
            return;
        };
        let Some(other) = rest.iter().position(|item| family(item) != last) else {
            return;
        };
        if let Some(upto) = rest.get_mut(..=other) {
            upto.rotate_right(1);
        }
    }
}
