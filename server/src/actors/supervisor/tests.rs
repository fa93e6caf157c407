use super::*;

struct Counter {
    lease: Lease,
    count: u32,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {
    const KIND: &'static str = "counter";
}

#[derive(Message)]
#[rtype(result = "u32")]
struct Add;

#[derive(Message)]
#[rtype(result = "()")]
enum Fall {
    Panic,
    Fail,
    Finish,
    GiveUp,
}

impl Handler<Add> for Counter {
    type Result = u32;

    fn handle(&mut self, _: Add, _: &mut Context<Self>) -> u32 {
        self.lease.beat();
        self.count += 1;
        self.count
    }
}

impl Handler<Fall> for Counter {
    type Result = ();

    fn handle(&mut self, message: Fall, ctx: &mut Context<Self>) {
        use actix::ActorContext as _;
        self.lease.beat();
        match message {
            Fall::Panic => panic!("as asked"),
            Fall::Fail => self.lease.fail("as asked"),
            Fall::Finish => self.lease.finish(),
            Fall::GiveUp => self.lease.give_up("as asked"),
        }
        ctx.stop();
    }
}

fn world() -> (Supervision, Handle<Counter>) {
    let supervision = Supervision {
        registry: Registry::default(),
        metrics: Metrics::new().unwrap(),
    };
    let arbiter = actix_rt::Arbiter::current();
    let handle = supervise(&supervision, &arbiter, "system/counter".into(), |lease| {
        Counter { lease, count: 0 }
    });
    (supervision, handle)
}

async fn until_answered(handle: &Handle<Counter>) -> u32 {
    loop {
        match handle.send(Add).await {
            Ok(count) => return count,
            Err(Unavailable) => tokio::task::yield_now().await,
        }
    }
}

#[actix_rt::test]
async fn a_panic_brings_a_fresh_value_behind_the_same_handle() {
    install_panic_hook();
    let (supervision, handle) = world();
    assert_eq!(handle.send(Add).await, Ok(1));
    assert_eq!(handle.send(Add).await, Ok(2));
    assert_eq!(handle.send(Fall::Panic).await, Err(Unavailable));
    assert_eq!(until_answered(&handle).await, 1);
    let tree = supervision.registry.tree();
    let snapshot = &tree.actors[0];
    assert_eq!(
        (snapshot.restarts, snapshot.panics, snapshot.mailbox),
        (1, 1, 0)
    );
    assert_eq!(snapshot.last_error.as_deref(), Some("panicked: as asked"));
}

#[actix_rt::test]
async fn a_failure_is_restarted_and_not_counted_as_a_panic() {
    let (supervision, handle) = world();
    assert_eq!(handle.send(Fall::Fail).await, Ok(()));
    assert_eq!(until_answered(&handle).await, 1);
    let snapshot = supervision.registry.tree().actors.remove(0);
    assert_eq!((snapshot.restarts, snapshot.panics), (1, 0));
}

#[actix_rt::test]
async fn one_that_finishes_leaves_the_registry_and_one_that_gives_up_stays_in_it() {
    let (supervision, handle) = world();
    assert_eq!(handle.send(Fall::Finish).await, Ok(()));
    handle.ended().await;
    assert_eq!(supervision.registry.tree().actors, []);
    assert_eq!(handle.send(Add).await, Err(Unavailable));

    let (supervision, handle) = world();
    assert_eq!(handle.send(Fall::GiveUp).await, Ok(()));
    handle.ended().await;
    assert_eq!(
        supervision.registry.tree().actors[0].state,
        ActorState::Failed
    );
}

#[actix_rt::test]
async fn a_full_mailbox_refuses_and_counts_what_waits() {
    let (supervision, handle) = world();
    // The mailbox has its size once the actor has started.
    assert_eq!(handle.send(Add).await, Ok(1));
    let mut refused = None;
    for _ in 0..=MAILBOX_CAPACITY * 2 {
        if let Err(error) = handle.try_send(Add) {
            refused = Some(error);
            break;
        }
    }
    assert_eq!(refused, Some(Refused::Full));
    assert!(supervision.registry.tree().actors[0].mailbox >= MAILBOX_CAPACITY as u64);
}
