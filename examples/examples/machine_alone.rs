//! You will see a synchronous client fail over between three servers: threads and `std::net`, no
//! async, no runtime, the machine alone. (Nobody listens at the first, the second hangs up after each
//! answer, the third stays.) `cargo run -p examples --example machine_alone`

use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::Failure;
use failover_core::machine::{Input, Machine, Outbox, Output, Status, Verdict};
use failover_core::policy::{NoHooks, Order, Policy, Seed, Walk};
use failover_core::time::Time;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{sleep, spawn};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    story(|line| eprintln!("{line}"))
}

pub(crate) fn story(mut tell: impl FnMut(String)) -> Result<(), Box<dyn Error>> {
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let servers = [nobody, server_that_echoes(1)?, server_that_echoes(9)?];
    // The machine knows numbers; whom they stand for is ours to know.
    let traits = [0, 1, 2].map(|id| Traits::new(EndpointId::new(id)).route(Security::Plain));
    let policy = Policy::builder().order(Order::new(Walk::Listed)).build()?;
    let mut machine = Machine::new(Arc::new(policy), traits, Seed::new(1));
    let (mut out, mut conn, began) = (Outbox::default(), None, Instant::now());
    let (mut news, mut answers) = (Input::Start, 0);
    loop {
        // News in, work out: at most one dial, because this policy races none.
        let now = Time::ZERO + began.elapsed();
        machine.handle(news, &mut NoHooks, &mut out, now);
        let dial = out.drain().find_map(|work| {
            let Output::Dial(to) = work else { return None };
            Some(to)
        });
        news = match (dial, machine.status()) {
            (Some(order), _) => {
                let (attempt, server) = (order.attempt, servers[order.endpoint.number() as usize]);
                let dialled = TcpStream::connect_timeout(&server, order.deadline.since(now));
                let error = dialled.map(|stream| conn = Some(stream)).err();
                error.map_or(Input::Connected { attempt }, |error| {
                    tell(format!("{} cannot be reached: {error}", order.endpoint));
                    let failure = Failure::from_io(&error);
                    Input::Failed { attempt, failure }
                })
            }
            (None, Status::Connected { .. }) if answers == 3 => Input::Close,
            (None, Status::Connected { link, .. }) => match ask(&mut conn) {
                Ok(()) => {
                    answers += 1;
                    tell(format!("{} answers", link.endpoint));
                    Input::Wake // early, and so without any effect
                }
                Err(error) => {
                    tell(format!("{} is lost: {error}", link.endpoint));
                    Input::Lost {
                        attempt: link.attempt,
                        failure: Failure::from_io(&error),
                        verdict: Verdict::AsPolicy,
                    }
                }
            },
            (None, Status::Closed(_)) => return Ok(()),
            (None, _) => {
                sleep(machine.next_wake().unwrap_or(now).since(now));
                Input::Wake
            }
        };
    }
}

fn ask(conn: &mut Option<TcpStream>) -> io::Result<()> {
    let stream = conn.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0])
}

fn server_that_echoes(bytes: u64) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = io::copy(&mut (&stream).take(bytes), &mut &stream);
        }
    });
    Ok(address)
}
