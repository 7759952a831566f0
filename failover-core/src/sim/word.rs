//! What is said to the clients of a fleet.

/// Whom a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Every client.
    All,
    /// This one, from 0.
    Client(usize),
}

/// A word of a user to a client, or of the network. Servers are named by their place in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Word {
    /// Reconnect, wherever the policy says.
    Reconnect,
    /// Reconnect to another server.
    ReconnectElsewhere,
    /// Reconnect to this server.
    ReconnectTo(usize),
    /// The connection's server drains.
    Drain,
    /// Start no dials.
    Pause,
    /// The pause is over, or the network is back.
    Resume,
    /// This server joins the list, if it is not in it.
    Add(usize),
    /// This server leaves the list.
    Remove(usize),
    /// This server is switched off.
    Off(usize),
    /// This server is switched on.
    On(usize),
    /// End.
    Close,
}

impl Word {
    /// The server that it names.
    #[must_use]
    pub const fn server(self) -> Option<usize> {
        match self {
            Self::ReconnectTo(server)
            | Self::Add(server)
            | Self::Remove(server)
            | Self::Off(server)
            | Self::On(server) => Some(server),
            Self::Reconnect
            | Self::ReconnectElsewhere
            | Self::Drain
            | Self::Pause
            | Self::Resume
            | Self::Close => None,
        }
    }
}
