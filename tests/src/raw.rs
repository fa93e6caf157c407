//! A connection that says whatever the test wants, byte by byte: for what no HTTP client would do.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{Server, within};

/// A TCP connection to a server.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// Status.
    pub status: u16,
    /// Head, in lower case.
    pub head: String,
    /// Body.
    pub body: String,
}

impl Raw {
    /// Connects.
    ///
    /// # Errors
    /// When the server does not listen.
    pub async fn connect(server: &Server) -> Result<Self> {
        Self::over(TcpSocket::new_v4()?, server).await
    }

    /// Connects with a receive buffer so small that not reading is soon noticed.
    ///
    /// # Errors
    /// When the server does not listen.
    pub async fn connect_narrow(server: &Server) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        Self::over(socket, server).await
    }

    async fn over(socket: TcpSocket, server: &Server) -> Result<Self> {
        let stream = socket.connect(server.address().parse()?).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    /// Sends.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.stream.write_all(bytes.as_ref()).await?)
    }

    /// Sends as much as goes without waiting; how much that was.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub fn send_some(&self, bytes: &[u8]) -> Result<usize> {
        match self.stream.try_write(bytes) {
            Ok(sent) => Ok(sent),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The next answer; none when the connection ended instead.
    ///
    /// # Errors
    /// When none comes, or it makes no sense.
    pub async fn answer(&mut self) -> Result<Option<RawAnswer>> {
        loop {
            if let Some((answer, length)) = parse(&self.unread)? {
                self.unread.drain(..length);
                return Ok(Some(answer));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// Reads on; false at the end, however it came.
    async fn more(&mut self) -> Result<bool> {
        let mut chunk = vec![0; 64 * 1024];
        match within("an answer or the end", self.stream.read(&mut chunk)).await? {
            Ok(1..) if self.unread.len() > 64 * 1024 * 1024 => bail!("an endless answer"),
            Ok(read @ 1..) => {
                self.unread.extend_from_slice(&chunk[..read]);
                Ok(true)
            }
            Ok(0) | Err(_) => Ok(false),
        }
    }

    /// Waits until the server closes the connection.
    ///
    /// # Errors
    /// When it does not.
    pub async fn closed(&mut self) -> Result<()> {
        while self.more().await? {
            self.unread.clear();
        }
        Ok(())
    }

    /// Sends `drop` again and again, a moment apart, until the server closes the connection; what it
    /// answered before, if anything.
    ///
    /// # Errors
    /// When it never does.
    pub async fn trickle(&mut self, drop: &[u8]) -> Result<Option<RawAnswer>> {
        within("the end of a trickle", async {
            loop {
                let mut chunk = [0; 4096];
                let pause = Duration::from_millis(50);
                match tokio::time::timeout(pause, self.stream.read(&mut chunk)).await {
                    Ok(Ok(0) | Err(_)) => break,
                    Ok(Ok(read)) => self.unread.extend_from_slice(&chunk[..read]),
                    Err(_) if self.stream.write_all(drop).await.is_err() => break,
                    Err(_) => {}
                }
            }
        })
        .await?;
        Ok(parse(&self.unread)?.map(|(answer, _)| answer))
    }
}

/// The answer at the beginning, and its length; none while it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(RawAnswer, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
    let status: u16 = head
        .strip_prefix("http/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .with_context(|| format!("not an answer: {head}"))?;
    let header = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let start = end + 4;
    let (body, length) = match header("content-length") {
        Some(length) => {
            let length: usize = length.parse()?;
            let Some(body) = bytes.get(start..start + length) else {
                return Ok(None);
            };
            (body.to_vec(), start + length)
        }
        None if header("transfer-encoding").is_some() => {
            let Some((body, length)) = chunks(&bytes[start..]) else {
                return Ok(None);
            };
            (body, start + length)
        }
        None => (Vec::new(), start),
    };
    let answer = RawAnswer {
        status,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    Ok(Some((answer, length)))
}

/// A chunked body and its length on the wire; none while it is not complete.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}
