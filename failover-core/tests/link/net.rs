//! Servers in memory, over wires that take as many bytes at a time as they are told and break where
//! they are told.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Failure, Kind, Phase};
use failover_core::messaging::Wire;

/// What a server does with what it reads.
pub trait Server: Send {
    /// A connection was opened.
    fn open(&mut self, _conn: usize, _out: &mut Vec<u8>) {}

    /// Takes whole frames from the front of `unread`.
    fn hear(&mut self, conn: usize, unread: &mut Vec<u8>, out: &mut Vec<u8>);
}

/// What befalls a connection.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// The most bytes that one write or read moves.
    pub grain: usize,
    /// It breaks after so many bytes from us.
    pub cut_written: usize,
    /// It breaks after so many bytes to us.
    pub cut_read: usize,
    /// The server reads nothing, and its buffers are full after so many bytes.
    pub window: usize,
    /// The server neither reads nor answers, though the bytes are taken.
    pub frozen_after: usize,
}

pub const WELL: Fate = Fate {
    grain: usize::MAX,
    cut_written: usize::MAX,
    cut_read: usize::MAX,
    window: usize::MAX,
    frozen_after: usize::MAX,
};

#[derive(Clone, Default)]
pub struct Net(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    hosts: BTreeMap<String, Arc<Mutex<dyn Server>>>,
    down: Vec<String>,
    /// The fates of the next connections; when they are used up, all is well.
    fates: std::collections::VecDeque<Fate>,
    conns: Vec<(String, Arc<Mutex<Conn>>)>,
}

struct Conn {
    fate: Fate,
    unread: Vec<u8>,
    to_client: Vec<u8>,
    taken: usize,
    given: usize,
    state: State,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The server said the end.
    Ended,
    Broken,
    /// The client dropped it.
    Dropped,
}

impl Net {
    pub fn host(self, name: &str, server: &Arc<Mutex<impl Server + 'static>>) -> Self {
        let server: Arc<Mutex<dyn Server>> = server.clone();
        self.inside().hosts.insert(name.to_string(), server);
        self
    }

    /// The next connections meet these fates.
    pub fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.inside().fates.extend(fates);
    }

    /// This host refuses from now on, and its connections break.
    pub fn kill(&self, host: &str) {
        self.inside().down.push(host.to_string());
        let conns = self.conns(host);
        conns.iter().for_each(|conn| lock(conn).end(State::Broken));
    }

    pub fn revive(&self, host: &str) {
        self.inside().down.retain(|down| down != host);
    }

    /// The servers of this host say this on all their connections.
    pub fn say(&self, host: &str, bytes: impl AsRef<[u8]>) {
        for conn in self.conns(host) {
            let mut conn = lock(&conn);
            conn.to_client.extend_from_slice(bytes.as_ref());
            conn.wake();
        }
    }

    /// This is said over the connection with this number, counted from 0.
    pub fn say_over(&self, number: usize, bytes: impl AsRef<[u8]>) {
        let conn = self.conn(number);
        let mut conn = lock(&conn);
        conn.to_client.extend_from_slice(bytes.as_ref());
        conn.wake();
    }

    /// The server ends the connection with this number.
    pub fn end(&self, number: usize) {
        lock(&self.conn(number)).end(State::Ended);
    }

    /// They end their connections.
    pub fn hang_up(&self, host: &str) {
        let conns = self.conns(host);
        conns.iter().for_each(|conn| lock(conn).end(State::Ended));
    }

    /// Their buffers have room for so many bytes more.
    pub fn widen(&self, host: &str, bytes: usize) {
        for conn in self.conns(host) {
            let mut conn = lock(&conn);
            conn.fate.window = conn.fate.window.saturating_add(bytes);
            conn.wake();
        }
    }

    /// They stop to read and to answer.
    pub fn freeze(&self, host: &str) {
        for conn in self.conns(host) {
            lock(&conn).fate.frozen_after = 0;
        }
    }

    /// How many connections were made, and how many of them stand.
    pub fn counts(&self) -> (usize, usize) {
        let inside = self.inside();
        let open = inside.conns.iter();
        let open = open.filter(|(_, conn)| lock(conn).state == State::Open);
        (inside.conns.len(), open.count())
    }

    /// Bytes that were said and not read.
    pub fn unread_by_client(&self) -> usize {
        let inside = self.inside();
        let conns = inside.conns.iter();
        conns.map(|(_, conn)| lock(conn).to_client.len()).sum()
    }

    fn conn(&self, number: usize) -> Arc<Mutex<Conn>> {
        self.inside().conns[number].1.clone()
    }

    fn conns(&self, host: &str) -> Vec<Arc<Mutex<Conn>>> {
        let inside = self.inside();
        let conns = inside.conns.iter().filter(|(name, _)| name == host);
        conns.map(|(_, conn)| conn.clone()).collect()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        lock(&self.0)
    }
}

impl Dial for Net {
    type Conn = MemoryWire;
    type Error = Failure;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<MemoryWire, Failure> {
        cx.enter(Phase::Connect);
        let host = to.url().host().to_string();
        let mut inside = self.inside();
        let server = inside
            .hosts
            .get(&host)
            .filter(|_| !inside.down.contains(&host));
        let server = server.ok_or(Failure::new(Kind::Refused))?.clone();
        let number = inside.conns.len();
        let mut conn = Conn {
            fate: inside.fates.pop_front().unwrap_or(WELL),
            unread: Vec::new(),
            to_client: Vec::new(),
            taken: 0,
            given: 0,
            state: State::Open,
            reader: None,
            writer: None,
        };
        lock(&server).open(number, &mut conn.to_client);
        let conn = Arc::new(Mutex::new(conn));
        inside.conns.push((host, conn.clone()));
        Ok(MemoryWire {
            number,
            server,
            conn,
        })
    }
}

pub struct MemoryWire {
    number: usize,
    server: Arc<Mutex<dyn Server>>,
    conn: Arc<Mutex<Conn>>,
}

impl Wire for MemoryWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut conn = lock(&self.conn);
        let most = conn.fate.grain.min(conn.fate.cut_read - conn.given);
        if conn.state == State::Broken || most == 0 {
            conn.end(State::Broken);
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = conn.to_client.len().min(into.len()).min(most);
        if count == 0 {
            if conn.state == State::Ended {
                return Poll::Ready(Ok(0));
            }
            conn.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for (at, byte) in conn.to_client.drain(..count).enumerate() {
            into[at] = byte;
        }
        conn.given += count;
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut conn = lock(&self.conn);
        let most = conn.fate.grain.min(conn.fate.cut_written - conn.taken);
        if conn.state != State::Open || most == 0 {
            conn.end(State::Broken);
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = bytes.len().min(most).min(conn.fate.window - conn.taken);
        if count == 0 {
            conn.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        conn.taken += count;
        conn.unread.extend_from_slice(&bytes[..count]);
        if conn.taken <= conn.fate.frozen_after {
            let Conn {
                unread, to_client, ..
            } = &mut *conn;
            lock(&self.server).hear(self.number, unread, to_client);
            conn.wake();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The server ends the connection, too, once it has read all.
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut conn = lock(&self.conn);
        if conn.taken <= conn.fate.frozen_after {
            conn.end(State::Ended);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryWire {
    fn drop(&mut self) {
        lock(&self.conn).state = State::Dropped;
    }
}

impl Conn {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    fn end(&mut self, state: State) {
        if self.state == State::Open {
            self.state = state;
        }
        self.wake();
    }
}

pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
