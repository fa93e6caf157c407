//! A client of server-sent events.

use std::pin::Pin;

use anyhow::{Context, Result, ensure};
use futures_util::{Stream, StreamExt, stream};
use reqwest::{Method, header::CONTENT_TYPE};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
};

use crate::{Api, Server, within};

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its identifier: give it as `Last-Event-ID` to go on after it.
    pub id: String,
    /// Its name.
    pub event: String,
    /// Its text.
    pub data: String,
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Vec<u8>>> + Send>>;

/// An open stream.
pub struct Sse {
    chunks: Chunks,
    text: String,
}

impl Sse {
    /// Opens `GET path`, where it is wanted after the message named.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn open(api: &Api, path: &str, last_event_id: Option<&str>) -> Result<Self> {
        let mut request = api.request(Method::GET, path);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await?.error_for_status()?;
        let kind = response.headers().get(CONTENT_TYPE);
        ensure!(
            kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")),
            "content type {kind:?}"
        );
        let chunks = response.bytes_stream();
        Ok(Self {
            chunks: Box::pin(chunks.map(|chunk| Ok(Vec::from(chunk?)))),
            text: String::new(),
        })
    }

    /// Opens `GET path` with a receive buffer so small that a client that does not read is soon
    /// noticed. Nothing is read before the first message is asked for.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn open_narrow(server: &Server, path: &str) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(16 * 1024)?;
        let mut stream = socket.connect(server.address().parse()?).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
        stream.write_all(request.as_bytes()).await?;
        Ok(Self {
            chunks: Box::pin(stream::unfold(Some((BufReader::new(stream), true)), chunk)),
            text: String::new(),
        })
    }

    /// The next event of the topic, past what has a name of its own (`subscribed`, `lagged`, ...).
    ///
    /// # Errors
    /// When the stream ends, or nothing comes.
    pub async fn event(&mut self) -> Result<Message> {
        loop {
            let message = self.message().await?;
            if message.event.is_empty() {
                return Ok(message);
            }
        }
    }

    /// The next message that has data.
    ///
    /// # Errors
    /// When the stream ends, or nothing comes.
    pub async fn message(&mut self) -> Result<Message> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let message = parse(&block);
                if !message.data.is_empty() {
                    return Ok(message);
                }
            }
            let chunk = within("a server-sent event", self.chunks.next()).await?;
            let chunk = chunk.context("the stream ended")??;
            // The server writes ASCII field names and JSON lines; a chunk never splits a character
            // of the tests, which use ASCII only.
            self.text.push_str(std::str::from_utf8(&chunk)?);
        }
    }
}

/// The next chunk of a chunked answer; its head comes before the first.
async fn chunk(
    state: Option<(BufReader<TcpStream>, bool)>,
) -> Option<(Result<Vec<u8>>, Option<(BufReader<TcpStream>, bool)>)> {
    let (mut stream, first) = state?;
    let read = async {
        let mut line = String::new();
        if first {
            stream.read_line(&mut line).await?;
            ensure!(line.starts_with("HTTP/1.1 200"), "{line}");
            while line != "\r\n" {
                line.clear();
                stream.read_line(&mut line).await?;
            }
            line.clear();
        }
        stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim(), 16).with_context(|| line.clone())?;
        let mut data = vec![0; size + 2];
        stream.read_exact(&mut data).await?;
        data.truncate(size);
        Ok(data)
    };
    match read.await {
        Ok(data) if data.is_empty() => None,
        Ok(data) => Some((Ok(data), Some((stream, false)))),
        Err(error) => Some((Err(error), None)),
    }
}

fn parse(block: &str) -> Message {
    let mut message = Message::default();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut message.id),
            "event" => value.clone_into(&mut message.event),
            "data" => message.data.push_str(value),
            _ => {}
        }
    }
    message
}
