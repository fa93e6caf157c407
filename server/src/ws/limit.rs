//! What a client may send, checked before the codec (RFC 6455, sections 5.2, 5.4 and 5.5).
//!
//! The codec looks at a frame's length once all of it is there, and keeps whatever comes until then.
//! [`Limited`] stands between the connection and the codec: it reads the frame headers, refuses
//! what is too large or no WebSocket frame on its header, and gives the codec one frame at a time,
//! so that nothing is kept but one message within its limit.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::error::PayloadError;
use actix_web_actors::ws::CloseCode;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use limelight_protocol::ws::{MAX_FRAGMENTS, MAX_MESSAGE_BYTES};

/// Longest header: two bytes, eight of length, four of the mask.
const MAX_HEADER_BYTES: usize = 14;
/// Longest payload of a control frame, bytes.
const MAX_CONTROL_BYTES: u64 = 125;

/// Why a client is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 1002 or 1009.
    pub code: CloseCode,
    /// For people.
    pub why: &'static str,
}

const fn fault(why: &'static str) -> Refusal {
    Refusal {
        code: CloseCode::Protocol,
        why,
    }
}

const fn too_large(why: &'static str) -> Refusal {
    Refusal {
        code: CloseCode::Size,
        why,
    }
}

/// Where the refusal of a stream is left for its session, which the codec tells only that there was
/// one.
pub type Verdict = Rc<Cell<Option<Refusal>>>;

/// Bytes of a client, within the limits: each item ends where a frame does or the bytes at hand do.
pub struct Limited<S> {
    bytes: S,
    frames: Frames,
    chunk: Bytes,
    // A whole frame is with the codec, which takes it once this has nothing more.
    frame_given: bool,
    verdict: Verdict,
}

impl<S> Limited<S> {
    /// Checks `bytes`; a refusal is left in the verdict, and ends them.
    pub fn new(bytes: S) -> (Self, Verdict) {
        let verdict = Verdict::default();
        let limited = Self {
            bytes,
            frames: Frames::default(),
            chunk: Bytes::new(),
            frame_given: false,
            verdict: Rc::clone(&verdict),
        };
        (limited, verdict)
    }
}

impl<S> Stream for Limited<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.verdict.get().is_some() {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut this.frame_given) {
            // The codec takes all there is before it looks for a frame. It has one, and asks again
            // after it, so nobody needs to be woken.
            return Poll::Pending;
        }
        while this.chunk.is_empty() {
            match std::task::ready!(this.bytes.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => this.chunk = chunk,
                // A connection that broke has ended.
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
        match this.frames.next_end(&this.chunk) {
            Ok(Some(end)) => {
                this.frame_given = true;
                Poll::Ready(Some(Ok(this.chunk.split_to(end))))
            }
            Ok(None) => Poll::Ready(Some(Ok(std::mem::take(&mut this.chunk)))),
            Err(refusal) => {
                this.chunk = Bytes::new();
                this.verdict.set(Some(refusal));
                Poll::Ready(Some(Err(PayloadError::Overflow)))
            }
        }
    }
}

/// Finds the ends of frames, in bytes that may be cut anywhere.
#[derive(Default)]
struct Frames {
    header: [u8; MAX_HEADER_BYTES],
    header_bytes: usize,
    /// Payload of the current frame that has not come yet, bytes; none while its header comes.
    payload_left: Option<u64>,
    /// The message that has begun and not ended.
    message: Option<Message>,
}

#[derive(Clone, Copy, Default)]
struct Message {
    bytes: u64,
    fragments: usize,
}

impl Frames {
    /// Reads on: after how many of `bytes` the current frame ends, or none when it needs them all
    /// and more. What follows the end is for the next call.
    fn next_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let mut at = 0;
        let left = loop {
            if let Some(left) = self.payload_left {
                break left;
            }
            let Some(&byte) = bytes.get(at) else {
                return Ok(None);
            };
            at += 1;
            self.header[self.header_bytes] = byte;
            self.header_bytes += 1;
            self.payload_left = self.read_header()?;
        };
        let here = (bytes.len() - at) as u64;
        if here < left {
            self.payload_left = Some(left - here);
            return Ok(None);
        }
        self.payload_left = None;
        self.header_bytes = 0;
        // Not more than `here`, which is a length.
        Ok(Some(at + usize::try_from(left).unwrap_or(bytes.len())))
    }

    /// The length of the payload, once the header is complete. A fault is found with the first byte
    /// that shows it.
    fn read_header(&mut self) -> Result<Option<u64>, Refusal> {
        let header = Header(&self.header[..self.header_bytes]);
        let length = header.0.len();
        if length == 1 {
            return header.check_opcode(self.message.is_some()).map(|()| None);
        }
        if length == 2 {
            header.check_mask_and_length()?;
        }
        if length == header.length_end() {
            self.message = header.payload_fits(self.message)?;
        }
        Ok((length == header.length_end() + 4).then(|| header.length()))
    }
}

/// As much of a header as there is, at least one byte.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    const fn is_final(&self) -> bool {
        self.0[0] & 0x80 != 0
    }

    const fn opcode(&self) -> u8 {
        self.0[0] & 0x0f
    }

    const fn is_control(&self) -> bool {
        self.opcode() >= 8
    }

    fn check_opcode(&self, in_message: bool) -> Result<(), Refusal> {
        if self.0[0] & 0x70 != 0 {
            return Err(fault("a reserved bit is set"));
        }
        match self.opcode() {
            0 if !in_message => Err(fault("there is no message to continue")),
            1 | 2 if in_message => Err(fault("a message has not ended")),
            0..=2 => Ok(()),
            8..=10 if self.is_final() => Ok(()),
            8..=10 => Err(fault("a control frame is never in fragments")),
            _ => Err(fault("there is no such frame")),
        }
    }

    fn check_mask_and_length(&self) -> Result<(), Refusal> {
        if self.0[1] & 0x80 == 0 {
            return Err(fault("a client's frames are masked"));
        }
        if self.is_control() && self.short_length() > MAX_CONTROL_BYTES {
            return Err(fault("a control frame holds 125 bytes at most"));
        }
        Ok(())
    }

    const fn short_length(&self) -> u64 {
        (self.0[1] & 0x7f) as u64
    }

    /// Where the length ends and the mask begins.
    const fn length_end(&self) -> usize {
        match self.short_length() {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn length(&self) -> u64 {
        match self.length_end() {
            2 => self.short_length(),
            end => self.0[2..end]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        }
    }

    /// The message after this frame, none when it is the last of it.
    fn payload_fits(&self, message: Option<Message>) -> Result<Option<Message>, Refusal> {
        if self.is_control() {
            return Ok(message);
        }
        let Message { bytes, fragments } = message.unwrap_or_default();
        let message = Message {
            bytes: bytes.saturating_add(self.length()),
            fragments: fragments + 1,
        };
        if message.bytes > MAX_MESSAGE_BYTES as u64 {
            return Err(too_large("the message is too large"));
        }
        if message.fragments > MAX_FRAGMENTS {
            return Err(too_large("the message is in too many fragments"));
        }
        Ok((!self.is_final()).then_some(message))
    }
}

#[cfg(test)]
mod tests;
