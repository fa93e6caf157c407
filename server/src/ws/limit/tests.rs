use actix_http::ws::{Codec, Frame};
use bytes::BytesMut;
use futures_util::{FutureExt, stream};
use proptest::prelude::*;
use tokio_util::codec::Decoder;

use super::*;

/// A frame as a client may write it, right or wrong.
#[derive(Clone, Debug)]
struct Wire {
    first: u8,
    masked: bool,
    /// What the header says.
    claimed: u64,
    /// How the length is written: 7, 16 or 64 bits, or more where it does not fit.
    width: usize,
    payload: usize,
}

impl Wire {
    fn new(first: u8, payload: usize) -> Self {
        Self {
            first,
            masked: true,
            claimed: payload as u64,
            width: 2,
            payload,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mask = if self.masked { 0x80 } else { 0 };
        let needed = match self.claimed {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        let mut bytes = vec![self.first];
        match self.width.max(needed) {
            2 => bytes.push(mask | self.claimed as u8),
            4 => {
                bytes.push(mask | 126);
                bytes.extend((self.claimed as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend(self.claimed.to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend([0; 4]);
        }
        bytes.resize(bytes.len() + self.payload, b'x');
        bytes
    }
}

const TEXT: u8 = 0x81;
const TEXT_BEGINS: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;
const PING: u8 = 0x89;

/// The frames that a codec finds behind the limit, and the refusal; everything in `pieces`.
fn read(pieces: Vec<Vec<u8>>) -> (Vec<usize>, Option<Refusal>, usize) {
    let pieces = stream::iter(pieces).map(|piece| Ok(Bytes::from(piece)));
    let (mut limited, verdict) = Limited::new(pieces);
    let mut codec = Codec::new().max_size(MAX_MESSAGE_BYTES);
    let (mut kept, mut most_kept) = (BytesMut::new(), 0);
    let mut frames = Vec::new();
    let mut ended = false;
    // As `actix_web_actors::ws` does it: first all bytes there are, then one frame.
    loop {
        while let Some(item) = limited.next().now_or_never() {
            match item {
                Some(Ok(bytes)) => kept.extend_from_slice(&bytes),
                Some(Err(_)) => {}
                None => {
                    ended = true;
                    break;
                }
            }
        }
        most_kept = most_kept.max(kept.len());
        match codec.decode(&mut kept) {
            Ok(Some(frame)) => frames.push(match frame {
                Frame::Text(data) | Frame::Binary(data) | Frame::Ping(data) | Frame::Pong(data) => {
                    data.len()
                }
                Frame::Continuation(item) => match item {
                    actix_http::ws::Item::FirstText(data)
                    | actix_http::ws::Item::FirstBinary(data)
                    | actix_http::ws::Item::Continue(data)
                    | actix_http::ws::Item::Last(data) => data.len(),
                },
                Frame::Close(_) => 0,
            }),
            Ok(None) if ended => return (frames, verdict.get(), most_kept),
            Ok(None) => {}
            Err(error) => panic!("the codec is given {error}"),
        }
    }
}

fn refused(frames: &[Wire]) -> Option<CloseCode> {
    let bytes = frames.iter().flat_map(Wire::bytes).collect();
    read(vec![bytes]).1.map(|refusal| refusal.code)
}

#[test]
fn a_header_that_claims_a_tebibyte_is_refused_by_its_last_byte_of_length() {
    let claim = Wire {
        claimed: 1 << 40,
        ..Wire::new(TEXT, 0)
    };
    let header = claim.bytes();
    let mut frames = Frames::default();
    assert_eq!(frames.next_end(&header[..9]), Ok(None));
    let refusal = frames.next_end(&header[9..10]).unwrap_err();
    assert_eq!(refusal.code, CloseCode::Size);
}

#[test]
fn a_message_has_a_mebibyte_in_one_frame_or_in_many() {
    let limit = MAX_MESSAGE_BYTES;
    assert_eq!(refused(&[Wire::new(TEXT, limit)]), None);
    assert_eq!(
        refused(&[Wire::new(TEXT, limit + 1)]),
        Some(CloseCode::Size)
    );
    let halves = |second| {
        [
            Wire::new(TEXT_BEGINS, limit / 2),
            Wire::new(PING, 125),
            Wire::new(ENDS, second),
            Wire::new(TEXT, limit),
        ]
    };
    assert_eq!(refused(&halves(limit / 2)), None);
    assert_eq!(refused(&halves(limit / 2 + 1)), Some(CloseCode::Size));
}

#[test]
fn a_message_comes_in_so_many_fragments_and_not_one_more() {
    let message = |fragments: usize| {
        let mut frames = vec![Wire::new(GOES_ON, 0); fragments];
        frames[0].first = TEXT_BEGINS;
        frames[fragments - 1].first = ENDS;
        frames
    };
    let twice = [message(MAX_FRAGMENTS), message(MAX_FRAGMENTS)].concat();
    assert_eq!(refused(&twice), None);
    assert_eq!(refused(&message(MAX_FRAGMENTS + 1)), Some(CloseCode::Size));
}

#[test]
fn what_is_no_frame_of_a_client_is_a_fault_of_the_protocol() {
    let unmasked = Wire {
        masked: false,
        ..Wire::new(TEXT, 1)
    };
    let begun = Wire::new(TEXT_BEGINS, 1);
    for frames in [
        vec![Wire::new(TEXT | 0x40, 1)],
        vec![Wire::new(TEXT | 0x20, 1)],
        vec![Wire::new(TEXT | 0x10, 1)],
        vec![unmasked],
        vec![Wire::new(0x83, 1)],
        vec![Wire::new(0x8b, 1)],
        vec![Wire::new(PING & 0x7f, 1)],
        vec![Wire::new(PING, 126)],
        vec![Wire::new(ENDS, 1)],
        vec![begun.clone(), Wire::new(TEXT, 1)],
        vec![begun.clone(), begun],
    ] {
        assert_eq!(refused(&frames), Some(CloseCode::Protocol), "{frames:?}");
    }
}

#[test]
fn every_split_of_the_bytes_reads_the_same() {
    let frames = [
        Wire::new(TEXT_BEGINS, 3),
        Wire::new(PING, 2),
        Wire::new(GOES_ON, 0),
        Wire {
            width: 10,
            ..Wire::new(ENDS, 200)
        },
        Wire::new(TEXT, 130),
    ];
    let mut bytes: Vec<u8> = frames.iter().flat_map(Wire::bytes).collect();
    let whole = read(vec![bytes.clone()]);
    assert_eq!(whole.0, [3, 2, 0, 200, 130]);
    bytes.extend(Wire::new(0x83, 9).bytes());
    for first in 0..bytes.len() {
        for second in first..bytes.len() {
            let cut = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let (found, refusal, _) = read(cut.map(<[u8]>::to_vec).to_vec());
            assert_eq!(found, whole.0, "cut at {first} and {second}");
            assert_eq!(
                refusal.map(|refusal| refusal.code),
                Some(CloseCode::Protocol)
            );
        }
    }
}

#[test]
fn a_flood_of_tiny_frames_is_never_kept() {
    let flood = vec![Wire::new(PING, 1).bytes().repeat(50_000)];
    let (frames, refusal, most_kept) = read(flood);
    assert_eq!((frames.len(), refusal), (50_000, None));
    assert!(most_kept <= 7, "{most_kept} bytes were kept");
}

/// The rules once more, over whole frames: lengths of the payloads taken, and how it ends.
fn reference(frames: &[Wire]) -> (Vec<usize>, Option<CloseCode>) {
    let mut taken = Vec::new();
    let (mut message, mut parts) = (None::<u64>, 0);
    for frame in frames {
        let (opcode, last) = (frame.first & 0x0f, frame.first & 0x80 != 0);
        let control = matches!(opcode, 8..=10);
        let known = control || opcode <= 2;
        let in_order = control || (opcode == 0) == message.is_some();
        let well_formed = frame.first & 0x70 == 0
            && known
            && in_order
            && frame.masked
            && !(control && (!last || frame.claimed > 125 || frame.width > 2));
        if !well_formed {
            return (taken, Some(CloseCode::Protocol));
        }
        if !control {
            let bytes = u128::from(message.unwrap_or(0)) + u128::from(frame.claimed);
            parts += 1;
            if bytes > MAX_MESSAGE_BYTES as u128 || parts > MAX_FRAGMENTS {
                return (taken, Some(CloseCode::Size));
            }
            message = (!last).then_some(bytes as u64);
            if last {
                parts = 0;
            }
        }
        if frame.claimed > frame.payload as u64 {
            return (taken, None);
        }
        taken.push(frame.payload);
    }
    (taken, None)
}

fn wires() -> impl Strategy<Value = Vec<Wire>> {
    let first = prop_oneof![
        12 => prop::sample::select(vec![TEXT, TEXT_BEGINS, GOES_ON, ENDS, PING, 0x8a, 0x82]),
        // A close frame's payload is the codec's to judge.
        1 => any::<u8>().prop_filter("no close", |first| first & 0x0f != 8),
    ];
    let payload = prop_oneof![
        8 => 0..130_usize,
        1 => 65_530..65_540_usize,
        1 => MAX_MESSAGE_BYTES / 2 - 1..MAX_MESSAGE_BYTES / 2 + 2,
    ];
    let width = prop::sample::select(vec![2, 2, 2, 4, 10]);
    let masked = prop::bool::weighted(0.98);
    let wire = (first, payload, width, masked).prop_map(|(first, payload, width, masked)| Wire {
        masked,
        width,
        ..Wire::new(first, payload)
    });
    // The last frame may claim anything.
    let claim = (wire.clone(), any::<u64>()).prop_map(|(wire, claimed)| Wire {
        payload: 0,
        claimed,
        ..wire
    });
    (prop::collection::vec(wire, 0..12), prop::option::of(claim)).prop_map(|(mut frames, claim)| {
        frames.extend(claim);
        frames
    })
}

/// Pieces of random sizes.
fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for size in sizes {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces.push(rest.to_vec());
    pieces
}

proptest! {
    #[test]
    fn fuzz_frames_are_taken_as_the_rules_say_wherever_the_bytes_are_cut(
        frames in wires(),
        sizes in prop::collection::vec(prop_oneof![0..20_usize, 0..70_000_usize], 0..40),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(Wire::bytes).collect();
        let (taken, refusal, most_kept) = read(cut(&bytes, &sizes));
        let (expected, code) = reference(&frames);
        prop_assert_eq!(taken, expected);
        prop_assert_eq!(refusal.map(|refusal| refusal.code), code);
        prop_assert!(most_kept <= MAX_MESSAGE_BYTES + MAX_HEADER_BYTES);
    }

    #[test]
    fn fuzz_any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..4096),
        sizes in prop::collection::vec(0..64_usize, 0..40),
    ) {
        let pieces = stream::iter(cut(&bytes, &sizes)).map(|piece| Ok(Bytes::from(piece)));
        let (mut limited, _) = Limited::new(pieces);
        let mut given = 0;
        // Twice as many looks as there can be items, frames and pauses between them.
        for _ in 0..2 * (bytes.len() + sizes.len() + 2) {
            match limited.next().now_or_never() {
                Some(Some(Ok(piece))) => given += piece.len(),
                Some(Some(Err(_))) | None => {}
                Some(None) => break,
            }
        }
        prop_assert!(given <= bytes.len());
        prop_assert!(matches!(limited.next().now_or_never(), Some(None)));
    }
}
