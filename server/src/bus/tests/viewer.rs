//! One socket's subscriptions: in turn, a portion at a time.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

use bytestring::ByteString;
use futures_util::{
    StreamExt, poll,
    stream::{self, BoxStream},
};

use crate::bus::{PORTION_BYTES, Portion, Viewer};

/// A subscription that always has another frame, and counts them.
fn busy(text: String, made: &Arc<AtomicUsize>) -> BoxStream<'static, ByteString> {
    let made = Arc::clone(made);
    let frame = ByteString::from(text);
    stream::repeat_with(move || {
        made.fetch_add(1, SeqCst);
        frame.clone()
    })
    .boxed()
}

/// The next portion, as a socket polls that has room.
async fn portion(viewer: &mut Viewer) -> Portion {
    loop {
        if let Poll::Ready(portion) = poll!(viewer.next()) {
            return portion.unwrap();
        }
    }
}

#[actix_rt::test]
async fn a_poll_makes_one_portion_however_much_is_ready() {
    let made = Arc::new(AtomicUsize::new(0));
    let mut viewer = Viewer::default();
    for number in 0..256 {
        viewer.follow(
            &number.to_string(),
            busy("x".repeat(PORTION_BYTES / 2), &made),
        );
    }
    for polls in 1..10 {
        let Poll::Ready(Some(portion)) = poll!(viewer.next()) else {
            panic!("nothing is ready");
        };
        let bytes: usize = portion.frames.iter().map(|frame| frame.len()).sum();
        assert_eq!((bytes, portion.frames.len()), (PORTION_BYTES, 2));
        assert_eq!(made.load(SeqCst), 2 * polls, "frames were made ahead");
        // As long as the socket does not come again, that is all.
        assert!(poll!(viewer.next()).is_pending());
    }
}

#[actix_rt::test]
async fn subscriptions_take_turns() {
    let made = Arc::new(AtomicUsize::new(0));
    let mut viewer = Viewer::default();
    for number in 0..100 {
        let text = format!("{number:>PORTION_BYTES$}");
        viewer.follow(&number.to_string(), busy(text, &made));
    }
    let mut given: HashMap<String, usize> = HashMap::new();
    while given.values().sum::<usize>() < 300 {
        for frame in portion(&mut viewer).await.frames {
            *given.entry(frame.trim().to_owned()).or_default() += 1;
        }
    }
    assert!(
        given.len() == 100 && given.values().all(|times| *times <= 4),
        "{given:?}"
    );
}

#[actix_rt::test]
async fn nothing_comes_of_a_subscription_that_was_ended_and_its_name_is_free() {
    let made = Arc::new(AtomicUsize::new(0));
    let mut viewer = Viewer::default();
    viewer.follow("a", busy("old".into(), &made));
    assert!(
        portion(&mut viewer)
            .await
            .frames
            .iter()
            .all(|frame| frame == "old")
    );
    assert!(viewer.unfollow("a") && !viewer.unfollow("a"));
    viewer.follow("a", busy("new".into(), &made));
    assert_eq!(viewer.subscriptions(), 1);
    for _ in 0..10 {
        assert!(
            portion(&mut viewer)
                .await
                .frames
                .iter()
                .all(|frame| frame == "new")
        );
    }
}

#[actix_rt::test]
async fn a_subscription_that_ends_is_told_and_forgotten_and_a_new_one_wakes_the_socket() {
    let mut viewer = Viewer::default();
    viewer.follow("a", stream::iter([ByteString::from("last words")]).boxed());
    let first = portion(&mut viewer).await;
    assert_eq!((first.frames, first.ended), (vec!["last words".into()], 1));
    assert_eq!(viewer.subscriptions(), 0);
    let session = viewer.clone();
    let waiting = actix_rt::spawn(async move { viewer.next().await });
    tokio::task::yield_now().await;
    session.follow("a", stream::iter([ByteString::from("again")]).boxed());
    let woken = tokio::time::timeout(super::DEADLINE, waiting).await;
    assert_eq!(woken.unwrap().unwrap().unwrap().frames, ["again"]);
}
