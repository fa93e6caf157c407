//! A WebSocket client that sees every frame.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use limelight_protocol::{
    Cursor, Event, EventBody, EventType, ExecutionId,
    ws::{ClientFrame, ServerFrame},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        protocol::{CloseFrame, frame::Frame},
    },
};

use crate::{Server, within};

/// What came after a cursor was given.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// Events after this follow.
    pub position: u64,
    /// Whether nothing is missing.
    pub recovered: bool,
}

/// An open socket, past its `hello`.
#[derive(Debug)]
pub struct WsClient {
    socket: WebSocketStream<TcpStream>,
    /// Identity of the server's journal.
    pub epoch: String,
    waiting: VecDeque<(String, Event)>,
    /// How often the server has said that this client is behind.
    pub lagged: usize,
}

impl WsClient {
    /// Opens `/ws`.
    ///
    /// # Errors
    /// When it is refused, or the first frame is no `hello`.
    pub async fn connect(server: &Server) -> Result<Self> {
        Self::connect_to(server, "/ws", &[]).await
    }

    /// Opens a path with further headers.
    ///
    /// # Errors
    /// As [`WsClient::connect`].
    pub async fn connect_to(
        server: &Server,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self> {
        let stream = TcpStream::connect(server.address()).await?;
        Self::over(stream, &server.address(), path, headers).await
    }

    /// Opens `/ws` of whatever server listens on an address (`127.0.0.1:PORT`).
    ///
    /// # Errors
    /// As [`WsClient::connect`], and when none listens.
    pub async fn connect_at(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        Self::over(stream, address, "/ws", &[]).await
    }

    /// Opens `/ws` with a receive buffer so small that a client that does not read is soon noticed.
    ///
    /// # Errors
    /// As [`WsClient::connect`].
    pub async fn connect_narrow(server: &Server) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(16 * 1024)?;
        let stream = socket.connect(server.address().parse()?).await?;
        Self::over(stream, &server.address(), "/ws", &[]).await
    }

    async fn over(
        stream: TcpStream,
        address: &str,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self> {
        stream.set_nodelay(true)?;
        let url = format!("ws://{address}{path}");
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse()?);
        }
        let (socket, _) = within("the upgrade", client_async(request, stream)).await??;
        let mut client = Self {
            socket,
            epoch: String::new(),
            waiting: VecDeque::new(),
            lagged: 0,
        };
        match client.frame().await? {
            ServerFrame::Hello { epoch, server, .. } => {
                ensure!(server.starts_with("limelight/"), "hello from {server}");
                client.epoch = epoch;
            }
            other => bail!("the first frame is {other:?}"),
        }
        Ok(client)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send(&mut self, frame: &ClientFrame) -> Result<()> {
        self.send_text(&serde_json::to_string(frame)?).await
    }

    /// Sends any text.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Sends a WebSocket frame as it is: parts of a message, pings, binary data.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send_raw(&mut self, frame: Frame) -> Result<()> {
        Ok(self.socket.send(Message::Frame(frame)).await?)
    }

    /// The next message of any kind; none when the connection ended without a close frame.
    ///
    /// # Errors
    /// When none comes.
    pub async fn message(&mut self) -> Result<Option<Message>> {
        match within("a message", self.socket.next()).await? {
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(_)) | None => Ok(None),
        }
    }

    /// The next frame.
    ///
    /// # Errors
    /// When none comes, the socket is closed, or it is none of the contract's.
    pub async fn frame(&mut self) -> Result<ServerFrame> {
        self.frame_or_end().await?.context("the socket ended")
    }

    async fn frame_or_end(&mut self) -> Result<Option<ServerFrame>> {
        loop {
            match self.message().await? {
                Some(Message::Text(text)) => {
                    return serde_json::from_str(&text).with_context(|| text.to_string());
                }
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                Some(Message::Close(None)) | None => return Ok(None),
                other => bail!("the socket ended: {other:?}"),
            }
        }
    }

    /// The next frame that carries no events; events on the way are kept for [`WsClient::event`].
    ///
    /// # Errors
    /// As [`WsClient::frame`].
    pub async fn answer(&mut self) -> Result<ServerFrame> {
        loop {
            match self.frame().await? {
                ServerFrame::Event { id, event } => self.waiting.push_back((id, *event)),
                ServerFrame::Events { id, events } => {
                    let events = events.into_iter().map(|event| (id.clone(), event));
                    self.waiting.extend(events);
                }
                ServerFrame::Lagged { .. } => self.lagged += 1,
                other => return Ok(other),
            }
        }
    }

    /// Follows a topic and waits for the answer.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn subscribe(
        &mut self,
        id: &str,
        topic: &str,
        after: Option<Cursor>,
    ) -> Result<Subscribed> {
        self.send(&ClientFrame::Subscribe {
            id: id.to_owned(),
            topic: topic.to_owned(),
            after,
            snapshot: false,
        })
        .await?;
        match self.answer().await? {
            ServerFrame::Subscribed {
                id: answered,
                topic: of,
                position,
                recovered,
            } if answered == id && of == topic => Ok(Subscribed {
                position,
                recovered,
            }),
            other => bail!("{topic} is answered with {other:?}"),
        }
    }

    /// Follows an execution from its first event on.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn follow(&mut self, execution: ExecutionId) -> Result<()> {
        let beginning = self.cursor(0);
        let topic = format!("execution:{execution}");
        let subscribed = self.subscribe("follow", &topic, Some(beginning)).await?;
        ensure!(subscribed.recovered, "the beginning is not there any more");
        Ok(())
    }

    /// A place in the server's journal.
    #[must_use]
    pub fn cursor(&self, position: u64) -> Cursor {
        Cursor {
            epoch: self.epoch.clone(),
            position,
        }
    }

    /// The next event, with the subscription it came by.
    ///
    /// # Errors
    /// When none comes, or something else does.
    pub async fn event(&mut self) -> Result<(String, Event)> {
        self.event_or_end().await?.context("the socket ended")
    }

    /// The same; none when the socket has ended, as it does with its server.
    ///
    /// # Errors
    /// When nothing comes, or something else does.
    pub async fn event_or_end(&mut self) -> Result<Option<(String, Event)>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            let Some(frame) = self.frame_or_end().await? else {
                return Ok(None);
            };
            match frame {
                ServerFrame::Event { id, event } => return Ok(Some((id, *event))),
                ServerFrame::Events { id, events } => {
                    let events = events.into_iter().map(|event| (id.clone(), event));
                    self.waiting.extend(events);
                }
                ServerFrame::Lagged { .. } => self.lagged += 1,
                other => bail!("{other:?} instead of an event"),
            }
        }
    }

    /// Events up to and with the first that `last` takes.
    ///
    /// # Errors
    /// As [`WsClient::event`]; the message names the events seen until then.
    pub async fn until(&mut self, last: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        let mut seen = Vec::new();
        loop {
            let (_, event) = self.event().await.with_context(|| {
                let seen = seen.iter().map(brief).collect::<Vec<_>>();
                format!("after {} events: {}", seen.len(), seen.join(" "))
            })?;
            let done = last(&event);
            seen.push(event);
            if done {
                return Ok(seen);
            }
        }
    }

    /// Events up to and with the first of that kind about that node.
    ///
    /// # Errors
    /// As [`WsClient::until`].
    pub async fn until_node(&mut self, kind: EventType, node: &str) -> Result<Vec<Event>> {
        self.until(|event| event.kind == kind && is_about(event, node))
            .await
    }

    /// Events up to and with the end of an execution.
    ///
    /// # Errors
    /// As [`WsClient::until`].
    pub async fn until_end(&mut self) -> Result<Vec<Event>> {
        self.until(|event| is_end(event.kind)).await
    }

    /// The process that a node names in its next progress message: `echo "::progress 1 $$"`.
    ///
    /// # Errors
    /// When it does not.
    pub async fn pid_of(&mut self, node: &str) -> Result<u32> {
        let events = self.until_node(EventType::NodeProgress, node).await?;
        let EventBody::NodeProgress(body) = events.last().context("events")?.body()? else {
            bail!("a body of another kind");
        };
        Ok(body.message.context("a message")?.parse()?)
    }

    /// Waits until the server closes the socket; the close frame, where it sent one.
    ///
    /// # Errors
    /// When it does not close it.
    pub async fn closed(&mut self) -> Result<Option<CloseFrame>> {
        loop {
            match self.message().await? {
                Some(Message::Close(frame)) => return Ok(frame),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// Whether an execution has ended with this.
#[must_use]
pub const fn is_end(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::WorkflowCompleted | EventType::WorkflowFailed | EventType::WorkflowCancelled
    )
}

/// Whether an event is about that node.
#[must_use]
pub fn is_about(event: &Event, node: &str) -> bool {
    event.node_id.as_ref().is_some_and(|id| id.as_str() == node)
}

/// An event in a word: `node:completed(build)`.
#[must_use]
pub fn brief(event: &Event) -> String {
    let node = event.node_id.as_ref().map(|node| format!("({node})"));
    format!("{}{}", event.kind.as_str(), node.unwrap_or_default())
}

/// Whether the events of a stream are 1, 2, 3, ... to the last: none missing, none twice.
///
/// # Errors
/// When they are not; the message says which numbers came.
pub fn ensure_gapless(events: &[Event]) -> Result<()> {
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    let whole: Vec<u64> = (1..=events.len() as u64).collect();
    ensure!(seqs == whole, "the stream's numbers are {seqs:?}");
    Ok(())
}

/// A WebSocket by its bytes, past the upgrade: for what no client library would send.
#[derive(Debug)]
pub struct RawSocket {
    /// The connection, to be written to.
    pub stream: TcpStream,
    unread: Vec<u8>,
}

/// A client's frame, masked with zeros.
#[must_use]
pub fn raw_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = raw_header(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of a client's frame that claims so many bytes, up to where they begin.
#[must_use]
pub fn raw_header(first: u8, bytes: u64) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(short), _) if short < 126 => header.push(0x80 | short),
        (_, Ok(medium)) => {
            header.push(0x80 | 126);
            header.extend(medium.to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend(bytes.to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

impl RawSocket {
    /// Opens `/ws`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn connect(server: &Server) -> Result<Self> {
        let mut stream = TcpStream::connect(server.address()).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            server.address()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut socket = Self {
            stream,
            unread: Vec::new(),
        };
        loop {
            let text = String::from_utf8_lossy(&socket.unread);
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
                let head = head.len() + 4;
                socket.unread.drain(..head);
                return Ok(socket);
            }
            ensure!(socket.read_on().await?, "the connection ended");
        }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        within("room to write", self.stream.write_all(bytes)).await??;
        Ok(())
    }

    /// False at the end, be it by a reset.
    async fn read_on(&mut self) -> Result<bool> {
        let read = within("bytes", self.stream.read_buf(&mut self.unread)).await?;
        Ok(read.is_ok_and(|bytes| bytes > 0))
    }

    /// The opcode and payload of the next frame; none at the end.
    ///
    /// # Errors
    /// When nothing comes.
    pub async fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            let (header, bytes) = match *self.unread.as_slice() {
                [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
                [_, 127, a, b, c, d, e, f, g, h, ..] => {
                    let bytes = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                    (10, usize::try_from(bytes)?)
                }
                [_, short @ ..=125, ..] => (2, usize::from(short)),
                _ => (2, usize::MAX - 2),
            };
            if self.unread.len() >= header + bytes {
                let opcode = self.unread[0] & 0x0f;
                let frame: Vec<u8> = self.unread.drain(..header + bytes).collect();
                return Ok(Some((opcode, frame[header..].to_vec())));
            }
            if !self.read_on().await? {
                return Ok(None);
            }
        }
    }

    /// The code of the close frame, past all before it; none when the connection ends without one.
    ///
    /// # Errors
    /// When nothing comes.
    pub async fn close_code(&mut self) -> Result<Option<u16>> {
        while let Some((opcode, payload)) = self.frame().await? {
            if let (8, [high, low, ..]) = (opcode, payload.as_slice()) {
                return Ok(Some(u16::from_be_bytes([*high, *low])));
            }
        }
        Ok(None)
    }

    /// Waits until the server has ended the connection.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ended(&mut self) -> Result<()> {
        while self.read_on().await? {
            self.unread.clear();
        }
        Ok(())
    }
}
