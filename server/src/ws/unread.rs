//! Ends connections whose other side takes nothing.
//!
//! What is sent to a client that does not read waits in the connection; a session that waits for it
//! is suspended with its heartbeat, so only the system can tell that nobody will ever read.

use std::{io, net::TcpListener, time::Duration};

use socket2::SockRef;

/// How long a client may take nothing of what waits for it. Whoever reads again before misses nothing.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Makes every connection of `listener` end when its other side has acknowledged nothing, or had no
/// room, for `patience` while something was to be sent (RFC 5482; `TCP_USER_TIMEOUT` of tcp(7)).
///
/// # Errors
/// When the system refuses.
pub fn end_unread(listener: &TcpListener, patience: Duration) -> io::Result<()> {
    SockRef::from(listener).set_tcp_user_timeout(Some(patience))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Write},
        net::TcpStream,
    };

    use super::*;

    #[test]
    fn a_connection_that_is_not_read_from_ends() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        end_unread(&listener, Duration::from_secs(1)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut served, _) = listener.accept().unwrap();
        // Against hanging only.
        served
            .set_write_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let chunk = [0; 64 * 1024];
        let error = loop {
            if let Err(error) = served.write_all(&chunk) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(client);
    }
}
