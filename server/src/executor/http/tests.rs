use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::executor::{StopReason, Stopper};

/// Answers every connection with `answer`; the requests come out of the channel.
async fn server(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // Requests of these tests with a body end in "}".
            while !(request.ends_with(b"\r\n\r\n") || request.ends_with(b"}")) {
                let read = socket.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            sender
                .send(String::from_utf8(request).unwrap())
                .await
                .unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (format!("http://{address}/path"), requests)
}

async fn run(job: HttpJob) -> (Result<Success, Failure>, Vec<Report>) {
    let (_stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(16);
    let result = run_http(&http_client().unwrap(), job, sender, stop).await;
    let mut reports = Vec::new();
    while let Some(report) = receiver.recv().await {
        reports.push(report);
    }
    (result, reports)
}

const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\
    x-secret: 1\r\nconnection: close\r\n\r\n{\"a\":[1,2]}";

#[tokio::test]
async fn an_answer_becomes_outputs() {
    let (url, mut requests) = server(JSON).await;
    let mut job = HttpJob::new("POST", &url);
    job.headers.insert("X-Token".into(), "hidden".into());
    job.body = Some(HttpBody::Json(json!({"b": 1})));
    let (result, reports) = run(job).await;
    let expected = json!({
        "status": 200,
        "headers": {"content-type": "application/json", "content-length": "11"},
        "body": {"a": [1, 2]},
    });
    assert_eq!(Value::Object(result.unwrap().outputs), expected);
    let line = format!("POST {url} answered 200 OK");
    assert_eq!(
        reports,
        [Report::Log {
            source: LogSource::System,
            line
        }]
    );
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("POST /path HTTP/1.1\r\n"), "{request}");
    for part in [
        "content-type: application/json\r\n",
        "x-token: hidden\r\n",
        "\r\n\r\n{\"b\":1}",
    ] {
        assert!(request.contains(part), "{part:?} is missing in {request}");
    }
}

#[tokio::test]
async fn a_bad_status_fails_and_some_are_worth_another_attempt() {
    for (answer, retryable) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false),
        (
            "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            true,
        ),
        // Not what was asked for, and nobody listed it.
        ("HTTP/1.1 304 Not Modified\r\n\r\n", false),
    ] {
        let (url, _requests) = server(answer).await;
        let failure = run(HttpJob::new("GET", &url)).await.0.unwrap_err();
        assert_eq!(
            (failure.error.code.as_str(), failure.retryable),
            ("http_status", retryable)
        );
    }
}

#[tokio::test]
async fn an_expected_status_is_a_success_and_no_other_is() {
    let (url, _requests) = server("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let mut job = HttpJob::new("GET", &url);
    job.expect_status = Some(vec![404]);
    assert_eq!(run(job.clone()).await.0.unwrap().outputs["body"], json!(""));
    job.expect_status = Some(vec![200]);
    assert!(run(job).await.0.is_err());
}

#[tokio::test]
async fn a_large_body_is_cut() {
    let (url, _requests) = server(JSON).await;
    let mut job = HttpJob::new("GET", &url);
    job.max_body_bytes = 4;
    let outputs = run(job).await.0.unwrap().outputs;
    assert_eq!(
        (&outputs["body"], &outputs["truncated"]),
        (&json!("{\"a\""), &json!(true))
    );
}

#[tokio::test]
async fn secrets_stay_out_of_messages_and_logs() {
    let (url, _requests) = server("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await;
    let with_secrets = url.replace("http://", "http://user:s3cret@") + "?token=s3cret#s3cret";
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let unreachable = format!("http://user:s3cret@{nobody}/?token=s3cret");
    let mut unlawful = HttpJob::new("GET", &with_secrets);
    unlawful.headers.insert("x-token".into(), "s3cret\n".into());
    for (job, code, retryable) in [
        (HttpJob::new("GET", &with_secrets), "http_status", true),
        (HttpJob::new("GET", &unreachable), "http", true),
        (unlawful, "http_request", false),
        (HttpJob::new("GET", "s3cret"), "http_request", false),
        (
            HttpJob::new("GET", "file:///etc/s3cret"),
            "http_request",
            false,
        ),
    ] {
        let (result, reports) = run(job).await;
        let failure = result.unwrap_err();
        assert_eq!(
            (failure.error.code.as_str(), failure.retryable),
            (code, retryable)
        );
        assert!(
            !format!("{failure:?} {reports:?}").contains("s3cret"),
            "{failure:?} {reports:?}"
        );
    }
}

#[tokio::test]
async fn a_request_can_be_called_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (stopper, stop) = Stopper::new();
    let (sender, _receiver) = mpsc::channel(1);
    let client = http_client().unwrap();
    let call_off = async {
        let _socket = listener.accept().await.unwrap();
        stopper.stop(StopReason::Cancelled);
    };
    let (result, ()) = tokio::join!(
        run_http(&client, HttpJob::new("GET", &url), sender, stop),
        call_off
    );
    assert_eq!(result.unwrap_err(), StopReason::Cancelled.failure());
}

#[tokio::test]
async fn an_endless_chain_of_redirects_is_not_followed() {
    let answer =
        "HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, _requests) = server(answer).await;
    let failure = run(HttpJob::new("GET", &url)).await.0.unwrap_err();
    assert_eq!(
        (failure.error.code.as_str(), failure.retryable),
        ("http", false)
    );
}

#[tokio::test]
async fn any_2xx_is_a_success() {
    for status in ["200 OK", "204 No Content", "299 Odd"] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let (url, _requests) = server(answer.leak()).await;
        assert!(run(HttpJob::new("GET", &url)).await.0.is_ok(), "{status}");
    }
}

#[tokio::test]
async fn the_idempotency_key_is_sent_unless_the_author_set_one() {
    let (url, mut requests) = server(JSON).await;
    let mut job = HttpJob::new("POST", &url);
    job.idempotency_key = Some("execution/node".into());
    run(job.clone()).await.0.unwrap();
    let sent = requests.recv().await.unwrap();
    assert!(
        sent.contains("idempotency-key: execution/node\r\n"),
        "{sent}"
    );
    job.headers.insert("IDEMPOTENCY-key".into(), "mine".into());
    run(job).await.0.unwrap();
    let sent = requests.recv().await.unwrap();
    assert!(
        sent.contains("idempotency-key: mine\r\n") && !sent.contains("execution/node"),
        "{sent}"
    );
}

#[test]
fn a_request_has_no_time_limit_of_its_own() {
    let request = request(
        &http_client().unwrap(),
        &HttpJob::new("GET", "http://localhost/"),
    );
    assert_eq!(request.unwrap().timeout(), None);
}

#[tokio::test]
async fn a_body_that_grows_as_json_is_cut_to_the_limit_of_outputs() {
    let body = "\u{1}".repeat(190 << 10);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let (url, _requests) = server(answer.leak()).await;
    let outputs = run(HttpJob::new("GET", &url)).await.0.unwrap().outputs;
    assert_eq!(outputs["truncated"], json!(true));
    let bytes = serde_json::to_string(&outputs).unwrap().len();
    assert!((100 << 10..=MAX_OUTPUTS_BYTES).contains(&bytes), "{bytes}");
}
