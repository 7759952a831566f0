//! SOCKS5.

use failover_core::failure::{Failure, Kind, Scope};
use tokio::net::TcpStream;
use tokio_socks::Error;
use tokio_socks::tcp::Socks5Stream;

use crate::proxy::{Login, ProxyError};

pub(super) async fn ask(
    stream: TcpStream,
    login: Option<&Login>,
    host: &str,
    port: u16,
) -> Result<TcpStream, ProxyError> {
    let asked = match login {
        None => Socks5Stream::connect_with_socket(stream, (host, port)).await,
        Some(Login { user, password }) => {
            Socks5Stream::connect_with_password_and_socket(stream, (host, port), user, password)
                .await
        }
    };
    match asked {
        Ok(through) => Ok(through.into_inner()),
        Err(Error::Io(error)) => Err(ProxyError::Io(error)),
        Err(error) => Err(ProxyError::Socks(error)),
    }
}

pub(super) fn failure(error: &Error) -> Failure {
    match error {
        Error::Io(error) => Failure::from_io(error),
        Error::ConnectionRefused => Failure::new(Kind::Refused),
        Error::TtlExpired => Failure::new(Kind::Timeout),
        Error::NetworkUnreachable
        | Error::HostUnreachable
        | Error::ProxyServerUnreachable
        | Error::GeneralSocksServerFailure => Failure::new(Kind::Unreachable),
        Error::ConnectionNotAllowedByRuleset => Failure::new(Kind::Refused).scope(Scope::Endpoint),
        Error::NoAcceptableAuthMethods
        | Error::UnknownAuthMethod
        | Error::PasswordAuthFailure(_)
        | Error::InvalidAuthValues(_)
        | Error::AuthorizationRequired
        | Error::IdentdAuthFailure
        | Error::InvalidUserIdAuthFailure => Failure::new(Kind::Auth).scope(Scope::Endpoint),
        Error::ParseError(_)
        | Error::InvalidTargetAddress(_)
        | Error::InvalidResponseVersion
        | Error::CommandNotSupported
        | Error::AddressTypeNotSupported
        | Error::UnknownError
        | Error::InvalidReservedByte
        | Error::UnknownAddressType => Failure::new(Kind::Protocol).scope(Scope::Endpoint),
    }
}
