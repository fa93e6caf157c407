//! Logs and readings of the host.

use limelight_protocol::{
    Event, EventBody, Stream, Timestamp,
    event::{LogLine, LogSource},
    host::{DiskSample, HostSample, ProcessSample, Range},
};

use sea_orm::{ConnectionTrait as _, Statement};

use super::{
    Database,
    story::{NOW, Story, node},
};
use crate::{
    auth::Caller,
    store::{MigrateCommand, Store, StoreError, migrate},
};

fn line(text: &str) -> (Timestamp, LogLine) {
    let line = LogLine {
        attempt: 2,
        source: LogSource::Stderr,
        line: text.into(),
    };
    (NOW, line)
}

pub async fn a_log_continues_where_it_ended(database: Database) {
    let (store, journal) = database.open().await;
    let caller = Caller::system();
    let (id, a) = (Story::new(&[]).execution.id, node("a"));
    let many: Vec<_> = (0..2500).map(|n| line(&format!("line {n}"))).collect();
    let live = store.append_log(id, &a, 1, &many).await.unwrap();
    store
        .append_log(id, &node("b"), 1, &[line("x")])
        .await
        .unwrap();
    let wrong = store.append_log(id, &a, 2500, &[line("x")]).await;
    assert!(matches!(wrong, Err(StoreError::Conflict(_))));
    store.close().await;
    drop(journal);
    let (store, _journal) = database.open().await;
    assert_eq!(store.last_log_seq(id, &a).await.unwrap(), 2500);
    store
        .append_log(id, &a, 2501, &[line("nul\0")])
        .await
        .unwrap();
    let read = store.read_log(&caller, id, &a, 0, 2500).await.unwrap();
    assert_eq!(read, live);
    let stream = Stream::Log(id, a);
    for (after, limit) in [(0, 1), (511, 2), (512, 2), (1000, 700), (2400, 500)] {
        let page = store.read_stream(&caller, &stream, after, limit).await;
        let count = limit.min(2501 - after);
        let seqs: Vec<u64> = page.unwrap().iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (after + 1..=after + count).collect::<Vec<_>>());
    }
    let beyond = store.read_stream(&caller, &stream, u64::MAX, 10).await;
    assert_eq!(beyond.unwrap(), []);
    let last = store.read_stream(&caller, &stream, 2500, 10).await.unwrap();
    assert_eq!((last.len(), last[0].position, last[0].seq), (1, 2501, 2501));
    let event: Event = serde_json::from_str(&last[0].wire).unwrap();
    let EventBody::NodeLog(body) = event.body().unwrap() else {
        panic!("another body");
    };
    assert_eq!(body, line("nul\u{fffd}").1);
}

pub async fn lines_that_are_appended_again_are_there_once(database: Database) {
    let (store, _journal) = database.open().await;
    let (id, a) = (Story::new(&[]).execution.id, node("a"));
    let many: Vec<_> = (0..1500).map(|n| line(&format!("line {n}"))).collect();
    let first = store.append_log(id, &a, 1, &many).await.unwrap();
    // The answer to the first append was lost.
    let again = store.append_log(id, &a, 1, &many).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(store.last_log_seq(id, &a).await.unwrap(), 1500);
    for (first_seq, lines) in [
        (1, &many[..1499]),
        (2, &many[1..]),
        (1, &[line("other")]),
        (1, &[]),
    ] {
        let wrong = store.append_log(id, &a, first_seq, lines).await;
        assert!(matches!(wrong, Err(StoreError::Conflict(_))), "{wrong:?}");
    }
    store.append_log(id, &a, 1501, &many).await.unwrap();
    assert_eq!(store.append_log(id, &a, 1, &many).await.unwrap(), first);
}

pub async fn a_flood_of_short_lines_takes_little_more_than_its_text(database: Database) {
    let (store, _journal) = database.open().await;
    let (id, a) = (Story::new(&[]).execution.id, node("a"));
    let flood = vec![line("y"); 10_000];
    store.append_log(id, &a, 1, &flood).await.unwrap();
    let statement = match store.backend_name() {
        "sqlite" => "SELECT sum(pgsize) FROM dbstat WHERE name LIKE '%node_log%'",
        _ => "SELECT pg_total_relation_size('node_log')",
    };
    let row = store
        .read()
        .query_one_raw(Statement::from_string(
            store.read().get_database_backend(),
            statement,
        ))
        .await
        .unwrap()
        .unwrap();
    let bytes: i64 = row.try_get_by_index(0).unwrap();
    assert!(bytes < 200_000, "{bytes} bytes");
}

pub async fn logs_of_earlier_versions_are_carried_over_and_back(database: Database) {
    let (store, journal) = database.open().await;
    let caller = Caller::system();
    let (id, a) = (Story::new(&[]).execution.id, node("a"));
    let of = |attempt, text: &str| {
        let (timestamp, line) = line(text);
        (timestamp, LogLine { attempt, ..line })
    };
    // Two attempts in turns, as there may be from before they waited for each other.
    let mut lines: Vec<_> = (0..200)
        .map(|n| of(1, &format!("\"{n}\"\n\u{1b}")))
        .collect();
    lines.extend([of(2, "late"), of(1, ""), of(2, "[1]")]);
    lines.extend((0..100).map(|n| of(2, &n.to_string())));
    for (n, (timestamp, _)) in lines.iter_mut().enumerate() {
        timestamp.0 += n as i64;
    }
    let before = store.append_log(id, &a, 1, &lines).await.unwrap();
    store
        .append_log(id, &node("b"), 1, &[line("x")])
        .await
        .unwrap();
    store.close().await;
    drop(journal);
    // To the version before blocks, and to this one again.
    let steps = migrate(database.options(), MigrateCommand::Status)
        .await
        .unwrap();
    let blocks = steps
        .iter()
        .position(|step| step.name.contains("node_log_blocks"));
    let steps = (steps.len() - blocks.unwrap()) as u32;
    migrate(database.options(), MigrateCommand::Down { steps })
        .await
        .unwrap();
    let (store, _journal) = database.open().await;
    assert_eq!(
        store.read_log(&caller, id, &a, 0, 1000).await.unwrap(),
        before
    );
    assert_eq!(store.last_log_seq(id, &a).await.unwrap(), 303);
    let next = store
        .append_log(id, &a, 304, &[line("next")])
        .await
        .unwrap();
    assert_eq!(
        store.read_log(&caller, id, &a, 303, 10).await.unwrap(),
        next
    );
    assert_eq!(store.last_log_seq(id, &node("b")).await.unwrap(), 1);
}

fn sample(at: i64, cpu: f64) -> HostSample {
    HostSample {
        at: Timestamp(at),
        cpu_percent: cpu,
        cores_percent: vec![cpu, 0.0],
        memory_used_bytes: (cpu * 100.0) as u64,
        memory_total_bytes: 8 << 30,
        swap_used_bytes: 0,
        swap_total_bytes: 0,
        load_average: [0.5, 0.25, 0.125],
        disks: vec![DiskSample {
            mount: "/".into(),
            used_bytes: 1,
            total_bytes: 2,
        }],
        network_received_bytes_per_s: 10.0,
        network_sent_bytes_per_s: 20.0,
        process: ProcessSample {
            cpu_percent: 1.0,
            resident_bytes: 30 << 20,
        },
    }
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// A full hour, so that intervals begin where the tests say.
const BEGIN: i64 = 1_795_255_200_000;

/// A reading every 20 s: in each minute 0, 10 and 50 percent.
async fn minutes(store: &Store, from: i64, minutes: i64) {
    for minute in 0..minutes {
        for (third, cpu) in [(0, 0.0), (1, 10.0), (2, 50.0)] {
            let at = from + minute * MINUTE + third * 20_000;
            store.insert_sample(&sample(at, cpu)).await.unwrap();
        }
    }
}

const THIRDS: Range = Range {
    min: 0.0,
    avg: 20.0,
    max: 50.0,
};

pub async fn roll_ups_hold_minimum_mean_and_maximum(database: Database) {
    let (store, _journal) = database.open().await;
    let caller = Caller::system();
    minutes(&store, BEGIN, 62).await;
    let end = Timestamp(BEGIN + 62 * MINUTE);
    for _ in 0..2 {
        store
            .roll_up(Timestamp(BEGIN + 61 * MINUTE + 30_000))
            .await
            .unwrap();
    }
    let history = |step_s| store.history(&caller, Timestamp(BEGIN), end, step_s);
    let by_minute = history(60).await.unwrap();
    assert_eq!(by_minute.points.len(), 62);
    for (number, point) in by_minute.points.iter().enumerate() {
        assert_eq!(point.at, Timestamp(BEGIN + number as i64 * MINUTE));
        assert_eq!((point.samples, point.cpu_percent), (3, THIRDS));
        assert_eq!(point.memory_used_bytes.max, 5000.0);
    }
    let by_hour = history(3600).await.unwrap();
    let samples: Vec<_> = by_hour.points.iter().map(|point| point.samples).collect();
    assert_eq!(samples, [180, 6]);
    assert_eq!(by_hour.points[0].cpu_percent.max, 50.0);
    assert!((by_hour.points[0].cpu_percent.avg - 20.0).abs() < 1e-9);
    assert_eq!(history(1).await.unwrap().points.len(), 186);
    assert_eq!(by_hour.latest, Some(sample(end.0 - 20_000, 50.0)));
}

pub async fn a_history_joins_roll_ups_and_raw_readings(database: Database) {
    let (store, _journal) = database.open().await;
    let caller = Caller::system();
    minutes(&store, BEGIN, 10).await;
    store.roll_up(Timestamp(BEGIN + HOUR)).await.unwrap();
    let day_later = BEGIN + 25 * HOUR;
    minutes(&store, day_later, 2).await;
    store.prune_samples(Timestamp(day_later)).await.unwrap();
    let to = Timestamp(day_later + 2 * MINUTE);
    let all = store
        .history(&caller, Timestamp(BEGIN), to, 60)
        .await
        .unwrap();
    let samples: Vec<_> = all.points.iter().map(|point| point.samples).collect();
    assert_eq!(samples, [3; 12]);
    let raw = store
        .history(&caller, Timestamp(day_later), to, 20)
        .await
        .unwrap();
    assert_eq!(raw.points.len(), 6);
    let wide = store
        .history(&caller, Timestamp(0), Timestamp(i64::MAX), 1)
        .await
        .unwrap();
    assert_eq!(
        wide.points.iter().map(|point| point.samples).sum::<u32>(),
        36
    );
    let none = store
        .history(&caller, Timestamp(BEGIN + HOUR), Timestamp(BEGIN), 10)
        .await
        .unwrap();
    assert!(none.points.is_empty());
}

pub async fn the_newest_reading_outlives_its_retention(database: Database) {
    let (store, journal) = database.open().await;
    minutes(&store, BEGIN, 1).await;
    store
        .prune_samples(Timestamp(BEGIN + 1000 * 24 * HOUR))
        .await
        .unwrap();
    let caller = Caller::system();
    let kept = store
        .read_stream(&caller, &Stream::Metrics, 0, 10)
        .await
        .unwrap();
    assert_eq!((kept.len(), kept[0].seq), (1, 3));
    store.close().await;
    drop(journal);
    let (store, _journal) = database.open().await;
    let next = store
        .insert_sample(&sample(BEGIN + HOUR, 1.0))
        .await
        .unwrap();
    assert_eq!((next.seq, next.position), (4, 4));
    let read = store
        .read_stream(&caller, &Stream::Metrics, 3, 10)
        .await
        .unwrap();
    assert_eq!(read, [next]);
}
