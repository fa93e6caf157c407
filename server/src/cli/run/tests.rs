use std::sync::Mutex;

use futures_util::{SinkExt, StreamExt};
use limelight_protocol::{
    Cursor, EventType, NodeId, NodeState, Timestamp, Topic, WorkflowId,
    ws::{ClientFrame, ServerFrame},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};
use uuid::Uuid;

use super::{view::Plain, *};
use crate::config::{Config, Secret};

type Peer = WebSocketStream<TcpStream>;

fn id() -> ExecutionId {
    ExecutionId(Uuid::from_u128(1))
}

/// An execution of one node, `build`, as the server tells it after its end.
fn execution() -> Execution {
    Execution {
        id: id(),
        execution_id: id(),
        workflow_id: WorkflowId(Uuid::from_u128(2)),
        workflow_name: "release".into(),
        workflow_version: 3,
        name: None,
        labels: Default::default(),
        status: ExecutionStatus::Completed,
        params: Default::default(),
        completed_nodes: 1,
        total_nodes: 1,
        current_phase: None,
        started_at: Some(Timestamp(0)),
        completed_at: Some(Timestamp(2000)),
        duration_s: Some(2.0),
        started_by: "ada".into(),
        seq: 4,
        node_states: vec![NodeState::new(NodeId::new("build").unwrap())],
    }
}

fn event(position: u64, seq: u64, kind: EventType, node: Option<&str>, data: &Value) -> Value {
    let mut event = json!({
        "position": position, "stream": format!("execution:{}", id()), "seq": seq,
        "type": kind.as_str(), "timestamp": "2026-11-21T10:00:00.000Z",
        "execution_id": id(), "data": data,
    });
    if let Some(node) = node {
        event["node_id"] = json!(node);
    }
    event
}

/// The execution's whole stream; the journal has others' events between them.
fn events() -> [Value; 4] {
    let started = json!({"workflow_name": "release", "workflow_version": 3, "params": {}, "by": "ada", "total_nodes": 1});
    let done = json!({"attempt": 1, "outputs": {}, "duration_s": 1.5});
    [
        event(10, 1, EventType::WorkflowStarted, None, &started),
        event(
            12,
            2,
            EventType::NodeStarted,
            Some("build"),
            &json!({"attempt": 1}),
        ),
        event(15, 3, EventType::NodeCompleted, Some("build"), &done),
        event(
            16,
            4,
            EventType::WorkflowCompleted,
            None,
            &json!({"duration_s": 2.0}),
        ),
    ]
}

fn log(seq: u64, line: &str) -> Value {
    let data = json!({"attempt": 1, "source": "stdout", "line": line});
    let mut event = event(seq, seq, EventType::NodeLog, Some("build"), &data);
    event["stream"] = json!(format!("log:{}/build", id()));
    event
}

/// What was shown, shared with the test.
#[derive(Default)]
struct Screen(Mutex<Vec<u8>>);

impl Write for &Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

async fn say_to(peer: &mut Peer, frame: &Value) {
    peer.send(Message::text(frame.to_string())).await.unwrap();
}

async fn hear(peer: &mut Peer) -> ClientFrame {
    loop {
        if let Message::Text(text) = peer.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

fn subscription(id_of_it: &str, topic: &Topic, position: u64) -> ClientFrame {
    ClientFrame::Subscribe {
        id: id_of_it.into(),
        topic: topic.to_string(),
        after: Some(Cursor {
            epoch: "e".into(),
            position,
        }),
        snapshot: false,
    }
}

fn client(url: &str) -> Client {
    let config = Config {
        jwt_secret: Some(Secret::new("0123456789abcdef0123456789abcdef")),
        ..Config::default()
    };
    Client::new(&config, Some(url)).unwrap()
}

#[tokio::test]
async fn after_a_drop_following_goes_on_from_where_it_was() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hello = json!({"type": "hello", "epoch": "e", "server": "test", "heartbeat_s": 15});
    let node_log = || Topic::Log(id(), NodeId::new("build").unwrap());
    let server = async {
        let [first, second, third, fourth] = events();
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = accept_async(stream).await.unwrap();
        say_to(&mut peer, &hello).await;
        assert_eq!(
            hear(&mut peer).await,
            subscription("execution", &Topic::Execution(id()), 0)
        );
        say_to(
            &mut peer,
            &json!({"type": "events", "id": "execution", "events": [first, second]}),
        )
        .await;
        assert_eq!(
            hear(&mut peer).await,
            subscription("log:build", &node_log(), 0)
        );
        say_to(
            &mut peer,
            &json!({"type": "event", "id": "log:build", "event": log(1, "one")}),
        )
        .await;
        say_to(
            &mut peer,
            &json!({"type": "event", "id": "log:build", "event": log(2, "two\u{1b}[2J")}),
        )
        .await;
        // Without a farewell, as a server that was killed.
        drop(peer);

        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = accept_async(stream).await.unwrap();
        say_to(&mut peer, &hello).await;
        assert_eq!(
            hear(&mut peer).await,
            subscription("execution", &Topic::Execution(id()), 12)
        );
        assert_eq!(
            hear(&mut peer).await,
            subscription("log:build", &node_log(), 2)
        );
        // What was had already is not shown again, and lines may come after the end.
        for (name, event) in [
            ("execution", events()[1].clone()),
            ("execution", third),
            ("log:build", log(2, "two")),
            ("execution", fourth),
            ("log:build", log(3, "three")),
        ] {
            say_to(
                &mut peer,
                &json!({"type": "event", "id": name, "event": event}),
            )
            .await;
        }
        while let Some(Ok(_)) = peer.next().await {}
    };
    let screen = Screen::default();
    let (client, mut follower) = (client(&url), Follower::new(execution()));
    let mut view = Plain(&screen);
    let following = connection::follow(&client, &mut follower, &mut view);
    let (status, ()) = tokio::join!(following, server);
    assert_eq!(status.unwrap(), ExecutionStatus::Completed);
    let at = "2026-11-21T10:00:00.000Z";
    assert_eq!(
        screen.text(),
        format!(
            "release version 3, execution {}\n{at} started by ada\n{at} build started\n\
             build | one\nbuild | two[2J\n{at} build completed in 1.500 s\nbuild | three\n\
             release completed in 2.000 s, 1 of 1 nodes\n",
            id()
        )
    );
}

#[tokio::test]
async fn a_server_that_refuses_is_not_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap().to_lowercase();
        assert!(request.contains("authorization: bearer "), "{request}");
        let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    };
    let screen = Screen::default();
    let (client, mut follower) = (client(&url), Follower::new(execution()));
    let mut view = Plain(&screen);
    let following = connection::follow(&client, &mut follower, &mut view);
    let (status, ()) = tokio::join!(following, server);
    assert!(status.unwrap_err().to_string().contains("401"));
}

#[tokio::test]
async fn a_server_with_tls_is_spoken_to_in_tls() {
    use tokio::io::AsyncReadExt;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let screen = Screen::default();
    let (client, mut follower) = (client(&url), Follower::new(execution()));
    let mut view = Plain(&screen);
    let first_byte = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap()
    };
    tokio::select! {
        ended = connection::follow(&client, &mut follower, &mut view) => panic!("{ended:?}"),
        // A TLS record of the handshake.
        first = first_byte => assert_eq!(first, 22),
    }
}

fn frame(value: &Value) -> ServerFrame {
    serde_json::from_str(&value.to_string()).unwrap()
}

#[test]
fn another_journal_is_read_from_its_beginning() {
    let screen = Screen::default();
    let mut view = Plain(&screen);
    let mut follower = Follower::new(execution());
    let hello =
        |epoch| frame(&json!({"type": "hello", "epoch": epoch, "server": "t", "heartbeat_s": 15}));
    follower.take(hello("e"), &mut view).unwrap();
    for event in &events()[..2] {
        let event = frame(&json!({"type": "event", "id": "execution", "event": event}));
        follower.take(event, &mut view).unwrap();
    }
    let position_of = |frames: &[ClientFrame]| match &frames[0] {
        ClientFrame::Subscribe { after, .. } => after.clone().unwrap().position,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        position_of(&follower.take(hello("e"), &mut view).unwrap()),
        12
    );
    assert_eq!(
        position_of(&follower.take(hello("f"), &mut view).unwrap()),
        0
    );
    assert_eq!(follower.outcome(), None);
}

#[test]
fn a_snapshot_after_a_gap_takes_the_place_of_what_was_missed() {
    let screen = Screen::default();
    let mut view = Plain(&screen);
    let mut follower = Follower::new(execution());
    let gap = json!({"type": "gap", "id": "execution", "reason": "retention"});
    follower.take(frame(&gap), &mut view).unwrap();
    let snapshot =
        json!({"type": "snapshot", "id": "execution", "position": 20, "data": execution()});
    follower.take(frame(&snapshot), &mut view).unwrap();
    assert_eq!(follower.outcome(), Some(ExecutionStatus::Completed));
    let late = json!({"type": "event", "id": "execution", "event": events()[3]});
    follower.take(frame(&late), &mut view).unwrap();
    assert_eq!(follower.execution().seq, 4);
    assert!(
        screen
            .text()
            .ends_with("release completed in 2.000 s, 1 of 1 nodes\n")
    );
}

#[test]
fn an_error_about_a_log_is_told_and_one_about_the_execution_ends_it() {
    let screen = Screen::default();
    let mut view = Plain(&screen);
    let mut follower = Follower::new(execution());
    let error = |id| {
        frame(
            &json!({"type": "error", "id": id, "code": "unknown_topic", "detail": "no such thing"}),
        )
    };
    assert!(follower.take(error("log:build"), &mut view).is_ok());
    assert!(follower.take(error("execution"), &mut view).is_err());
}

#[test]
fn the_exit_code_tells_the_outcome() {
    for (status, code) in [
        (ExecutionStatus::Completed, 0),
        (ExecutionStatus::Failed, 1),
        (ExecutionStatus::Cancelled, 3),
    ] {
        assert_eq!(exit_code(status), code);
    }
}
