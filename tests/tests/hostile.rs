//! Clients that mean harm: what no well-behaved one would send, over a bare connection.

use std::{fs, io::ErrorKind, time::Duration};

use anyhow::{Context, Result, ensure};
use limelight_protocol::ws::{ClientFrame, MAX_FRAGMENTS, MAX_MESSAGE_BYTES, ServerFrame};
use limelight_tests::{
    RawSocket, Server, WsClient, within,
    ws::{raw_frame, raw_header},
};
use tokio::io::AsyncWriteExt;

const TEXT: u8 = 0x81;
const TEXT_BEGINS: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const MIB: u64 = 1024 * 1024;

/// The most memory that the server has had in use so far, bytes.
fn peak_memory(server: &Server) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.context("VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>()? * 1024)
}

async fn still_answers(server: &Server) -> Result<()> {
    let mut ws = WsClient::connect(server).await?;
    ws.send(&ClientFrame::Ping { nonce: 1 }).await?;
    ensure!(matches!(ws.answer().await?, ServerFrame::Pong { nonce: 1 }));
    Ok(())
}

#[tokio::test]
async fn a_frame_is_refused_on_its_header_and_the_connection_ends_though_the_client_stays()
-> Result<()> {
    let server = Server::sqlite().await?;
    let tebibyte = 1 << 40;
    let half = vec![b' '; MAX_MESSAGE_BYTES / 2];
    let tiny = [
        raw_frame(TEXT_BEGINS, b""),
        raw_frame(GOES_ON, b"").repeat(MAX_FRAGMENTS),
    ]
    .concat();
    for (what, bytes, code) in [
        ("a tebibyte", raw_header(TEXT, tebibyte), 1009),
        ("all there can be", raw_header(TEXT, u64::MAX), 1009),
        ("a byte more", raw_header(TEXT, MIB + 1), 1009),
        (
            "fragments of more in all",
            [
                raw_frame(TEXT_BEGINS, &half),
                raw_frame(GOES_ON, &half),
                raw_header(GOES_ON, 1),
            ]
            .concat(),
            1009,
        ),
        ("a thousand fragments", tiny, 1009),
        ("a reserved bit", raw_header(TEXT | 0x40, 1), 1002),
        ("no such opcode", raw_header(0x83, 1), 1002),
        ("nothing to go on with", raw_header(GOES_ON, 1), 1002),
        ("a large ping", raw_header(PING, 126), 1002),
        ("half a ping", raw_header(PING & 0x7f, 1), 1002),
        ("no mask", vec![TEXT, 1], 1002),
        (
            "two messages at once",
            [raw_frame(TEXT_BEGINS, b"{"), raw_header(TEXT, 1)].concat(),
            1002,
        ),
        ("binary data", raw_frame(0x82, b"{}"), 1003),
        ("binary fragments", raw_frame(0x02, b"{}"), 1003),
        ("no text", raw_frame(TEXT, b"\xff"), 1007),
        (
            "no text in fragments",
            [raw_frame(TEXT_BEGINS, b"\xff"), raw_frame(0x80, b"")].concat(),
            1007,
        ),
        ("half a close code", raw_frame(0x88, b"\x03"), 1002),
        (
            "a reserved close code",
            raw_frame(0x88, &1005_u16.to_be_bytes()),
            1002,
        ),
    ] {
        let mut socket = RawSocket::connect(&server).await?;
        socket.send(&bytes).await?;
        let found = socket.close_code().await?;
        ensure!(found == Some(code), "{what} is closed with {found:?}");
        socket.ended().await.context(what)?;
    }
    // A client's own close is answered, and the connection ends without it.
    let mut socket = RawSocket::connect(&server).await?;
    socket
        .send(&raw_frame(0x88, &1000_u16.to_be_bytes()))
        .await?;
    ensure!(socket.close_code().await? == Some(1000));
    socket.ended().await?;
    still_answers(&server).await
}

#[tokio::test]
async fn what_follows_a_refused_header_is_not_kept() -> Result<()> {
    let server = Server::sqlite().await?;
    still_answers(&server).await?;
    let before = peak_memory(&server)?;
    let mut socket = RawSocket::connect(&server).await?;
    socket.send(&raw_header(TEXT, 1 << 40)).await?;
    let chunk = vec![b' '; 64 * 1024];
    for _ in 0..64 * MIB / chunk.len() as u64 {
        // Sooner or later the server has hung up.
        if socket.stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    socket.ended().await?;
    let grown = peak_memory(&server)?.saturating_sub(before);
    ensure!(grown < 16 * MIB, "the server has grown by {grown} bytes");
    still_answers(&server).await
}

#[tokio::test]
async fn a_flood_of_small_frames_is_not_kept() -> Result<()> {
    let server = Server::sqlite().await?;
    still_answers(&server).await?;
    let before = peak_memory(&server)?;
    let mut socket = RawSocket::connect(&server).await?;
    // Nothing answers a pong that nobody has asked for, so nothing slows its sender but reading.
    let pong = raw_frame(PONG, &[b'x'; 10]);
    let flood = pong.repeat(8192);
    for _ in 0..12 * MIB / flood.len() as u64 {
        socket.send(&flood).await?;
    }
    socket
        .send(&raw_frame(TEXT, br#"{"type":"ping","nonce":9}"#))
        .await?;
    loop {
        let (_, payload) = socket.frame().await?.context("the connection ended")?;
        if payload == br#"{"type":"pong","nonce":9}"# {
            break;
        }
    }
    let grown = peak_memory(&server)?.saturating_sub(before);
    ensure!(grown < 6 * MIB, "the server has grown by {grown} bytes");
    Ok(())
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_not_read_from_either() -> Result<()> {
    const MOST: u64 = 64 * MIB;
    let server = Server::sqlite().await?;
    still_answers(&server).await?;
    for (what, frame) in [
        ("pings", raw_frame(PING, &[b'x'; 125])),
        ("nonsense", raw_frame(TEXT, &[b'{'; 100])),
    ] {
        let before = peak_memory(&server)?;
        let mut socket = RawSocket::connect(&server).await?;
        let frames = frame.repeat(1 + 64 * 1024 / frame.len());
        let mut sent = 0_u64;
        let mut stalled = false;
        while sent < MOST && !stalled {
            // Nobody takes anything for so long: the way is blocked. Were it only slow, less is sent.
            let room = socket.stream.writable();
            stalled = tokio::time::timeout(Duration::from_secs(3), room)
                .await
                .is_err();
            let from = usize::try_from(sent % frames.len() as u64)?;
            match socket.stream.try_write(&frames[from..]) {
                Ok(bytes) => sent += bytes as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context(what),
            }
        }
        ensure!(
            stalled,
            "{what}: {sent} bytes were taken and no answer was read"
        );
        let grown = peak_memory(&server)?.saturating_sub(before);
        ensure!(
            grown < 8 * MIB,
            "{what}: the server has grown by {grown} bytes"
        );
        // It goes on where it was once it is read from: every whole frame is answered.
        let mut answers = sent / frame.len() as u64;
        while answers > 0 {
            let (opcode, payload) = socket.frame().await?.context("the connection ended")?;
            let hello = payload.starts_with(br#"{"type":"hello""#);
            // The server's own pings come between.
            if !hello && opcode != 9 {
                answers -= 1;
            }
        }
    }
    still_answers(&server).await
}

#[tokio::test]
async fn a_long_name_or_a_long_nonsense_is_neither_kept_nor_sent_back() -> Result<()> {
    let server = Server::sqlite().await?;
    let mut ws = WsClient::connect(&server).await?;
    let long = "n".repeat(MAX_MESSAGE_BYTES - 1000);
    for (text, code) in [
        (
            format!(r#"{{"type":"subscribe","id":"{long}","topic":"executions"}}"#),
            "id_too_long",
        ),
        (
            format!(r#"{{"type":"unsubscribe","id":"{long}"}}"#),
            "id_too_long",
        ),
        (
            format!(r#"{{"type":"subscribe","id":"a","topic":"{long}"}}"#),
            "unknown_topic",
        ),
        (format!(r#"{{"type":"{long}"}}"#), "malformed_frame"),
        (
            format!(r#"{{"type":"ping","nonce":"{long}"}}"#),
            "malformed_frame",
        ),
    ] {
        ws.send_text(&text).await?;
        match ws.answer().await? {
            ServerFrame::Error {
                code: found,
                detail,
                ..
            } => {
                ensure!(found == code, "{found} for {code}");
                ensure!(detail.len() < 1000, "{code}: {} bytes", detail.len());
            }
            _ => anyhow::bail!("no error where {code} was due"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_vanishes_is_given_up() -> Result<()> {
    let server = Server::sqlite().await?;
    let mut silent = RawSocket::connect(&server).await?;
    // One stops in the middle of a frame, and sends a byte of it now and then.
    let mut slow = RawSocket::connect(&server).await?;
    slow.send(&raw_header(TEXT, MIB)).await?;
    let drip = async {
        loop {
            if slow.stream.write_all(b" ").await.is_err() {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (dripped, ended) = tokio::join!(within("the end of the slow one", drip), silent.ended());
    dripped??;
    ended
}
