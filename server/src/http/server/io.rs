//! A socket that gives up on clients that make no progress.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conn::{Conn, LARGEST_HEAD, Reading};
use crate::error::{ApiError, PROBLEM_JSON};

/// What a head that is too large is answered with: no request is there yet that could have another
/// answer.
fn head_too_large() -> String {
    let problem = ApiError::head_too_large(LARGEST_HEAD).problem();
    let body = serde_json::to_string(&problem).unwrap_or_default();
    format!(
        "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: {PROBLEM_JSON}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The socket of one connection.
#[derive(Debug)]
pub struct Guarded {
    socket: TcpStream,
    conn: Arc<Conn>,
    /// The last read took all it might, so what has come is to be parsed before more is read.
    parse_first: bool,
}

impl Guarded {
    /// Guards a socket.
    #[must_use]
    pub const fn new(socket: TcpStream, conn: Arc<Conn>) -> Self {
        Self {
            socket,
            conn,
            parse_first: false,
        }
    }

    /// What is known of its connection.
    #[must_use]
    pub fn conn(&self) -> Arc<Conn> {
        Arc::clone(&self.conn)
    }

    fn give_up_if_condemned(&self) -> io::Result<()> {
        if !self.conn.condemned() {
            return Ok(());
        }
        if self.conn.blocked() {
            // Else the system would go on offering the rest of the answer for minutes.
            let _ = self.socket.set_zero_linger();
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn refuse_head(&self) -> io::Error {
        // The rest of an answer may be before it; then the end says it all.
        if !self.conn.blocked() {
            let _ = self.socket.try_write(head_too_large().as_bytes());
            // What has come and is not read would make the system take the answer back.
            let mut rest = [0; 4096];
            for _ in 0..16 {
                if !matches!(self.socket.try_read(&mut rest), Ok(1..)) {
                    break;
                }
            }
        }
        io::ErrorKind::InvalidData.into()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.give_up_if_condemned()?;
        if std::mem::take(&mut self.parse_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.conn.waits(cx.waker());
        let most = match self.conn.reading() {
            Reading::Upto(most) => most.min(buffer.remaining()),
            Reading::Later => return Poll::Pending,
            Reading::HeadTooLarge => return Poll::Ready(Err(self.refuse_head())),
        };
        let read = {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut part))?;
            part.filled().len()
        };
        buffer.advance(read);
        self.conn.read(read);
        self.parse_first = read == most;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.give_up_if_condemned()?;
        match Pin::new(&mut self.socket).poll_write(cx, bytes) {
            Poll::Ready(written) => {
                self.conn.wrote(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
            Poll::Pending => {
                self.conn.write_blocked(cx.waker());
                Poll::Pending
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
