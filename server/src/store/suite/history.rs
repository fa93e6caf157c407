//! Logs and readings of the host.

use limelight_protocol::{
    Event, EventBody, Stream, Timestamp,
    event::{LogLine, LogSource},
    host::{DiskSample, HostSample, ProcessSample, Range},
};

use super::{
    Database,
    story::{NOW, Story, node},
};
use crate::{
    auth::Caller,
    store::{Store, StoreError},
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
    let last = store.read_stream(&caller, &stream, 2500, 10).await.unwrap();
    assert_eq!((last.len(), last[0].position, last[0].seq), (1, 2501, 2501));
    let event: Event = serde_json::from_str(&last[0].wire).unwrap();
    let EventBody::NodeLog(body) = event.body().unwrap() else {
        panic!("another body");
    };
    assert_eq!(body, line("nul\u{fffd}").1);
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
