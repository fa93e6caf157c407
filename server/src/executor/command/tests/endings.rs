//! When an attempt has ended, every process of it is gone.

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

use super::*;

/// A guard against hanging, far beyond what any of it takes.
const HANG: Duration = Duration::from_secs(60);

fn exists(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// Runs a program that leaves `count` processes, each of which adds its id to the file `ids`, and says
/// which of them exist when the attempt has ended.
async fn left_by(count: usize, line: &str) -> Vec<i32> {
    let dir = TempDir::new().unwrap();
    let wait = format!("until [ \"$(wc -l < ids)\" -ge {count} ]; do sleep 0.01; done; cat ids");
    let mut job = shell(&format!("touch ids\n{line}\n{wait}"));
    job.working_dir = dir.path().into();
    let done = tokio::time::timeout(HANG, done(job)).await.unwrap();
    assert_eq!(done.result, Ok(Success::default()));
    let ids = done.lines(LogSource::Stdout);
    let ids: Vec<i32> = ids.iter().map(|line| line.parse().unwrap()).collect();
    assert_eq!(ids.len(), count);
    ids.into_iter().filter(|&id| exists(id)).collect()
}

const NONE: [i32; 0] = [];

#[tokio::test]
async fn a_process_that_left_the_group_ends_with_the_attempt() {
    let line =
        "setsid sh -c 'trap \"\" TERM HUP; echo $$ >> ids; exec sleep 600' > /dev/null 2>&1 &";
    assert_eq!(left_by(1, line).await, NONE);
}

#[tokio::test]
async fn a_process_that_forked_twice_ends_with_the_attempt() {
    let line = "(nohup setsid sh -c '(sleep 600 & echo $! >> ids) & echo $$ >> ids; exec sleep 600' > /dev/null 2>&1 &)";
    assert_eq!(left_by(2, line).await, NONE);
}

#[tokio::test]
async fn what_a_stray_started_without_its_mark_ends_with_it() {
    let line =
        "setsid sh -c 'env -i setsid sh -c \"echo \\$\\$ >> ids; exec sleep 600\" & sleep 600' &";
    assert_eq!(left_by(1, line).await, NONE);
}

#[tokio::test]
async fn a_swarm_of_strays_ends_with_the_attempt() {
    let line = "for i in 1 2 3 4 5 6 7 8 9 10; do
        setsid sh -c 'for j in 1 2 3 4; do setsid sleep 600 & echo $! >> ids; done; echo $$ >> ids; exec sleep 600' &
        done";
    assert_eq!(left_by(50, line).await, NONE);
}

#[tokio::test]
async fn strays_that_ignore_the_request_to_stop_are_killed_after_the_grace() {
    let line = "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 600; done' & trap '' TERM; while :; do sleep 600; done";
    let mut job = shell(line);
    job.grace = Duration::from_millis(50);
    let (stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    let listen = async {
        let stray: i32 = heard(&mut receiver).await.parse().unwrap();
        stopper.stop(StopReason::Cancelled);
        stray
    };
    let both = async { tokio::join!(run_command(job, sender, stop), listen) };
    let (result, stray) = tokio::time::timeout(HANG, both).await.unwrap();
    assert_eq!(result.unwrap_err(), StopReason::Cancelled.failure());
    assert!(!exists(stray), "{stray} outlived its attempt");
}

#[tokio::test]
async fn strays_are_asked_to_stop_like_the_others() {
    let dir = TempDir::new().unwrap();
    let mut job = shell(
        "trap 'until [ -e asked ]; do sleep 0.01; done; exit' TERM
        (setsid sh -c 'trap \"echo > asked; exit\" TERM; touch up; while :; do sleep 0.01; done' &)
        until [ -e up ]; do sleep 0.01; done; echo ready; while :; do sleep 0.01; done",
    );
    job.working_dir = dir.path().into();
    let (stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    let listen = async {
        assert_eq!(heard(&mut receiver).await, "ready");
        stopper.stop(StopReason::Cancelled);
        while receiver.recv().await.is_some() {}
    };
    let both = async { tokio::join!(run_command(job, sender, stop), listen) };
    tokio::time::timeout(HANG, both)
        .await
        .unwrap()
        .0
        .unwrap_err();
    assert!(dir.path().join("asked").exists());
}

#[tokio::test]
async fn dropping_the_attempt_ends_its_strays() {
    let dir = TempDir::new().unwrap();
    let lifeline = lifeline(&dir);
    let mut job = shell(
        "exec 3> lifeline; (setsid sh -c 'trap \"\" TERM; echo ready; while :; do sleep 600; done' &)
        setsid sleep 600 & wait",
    );
    job.working_dir = dir.path().into();
    let (_stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    tokio::select! {
        result = run_command(job, sender, stop) => panic!("it ended by itself: {result:?}"),
        line = heard(&mut receiver) => assert_eq!(line, "ready"),
    }
    tokio::time::timeout(HANG, abandoned(lifeline))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_ends_beside_a_running_attempt_is_reaped() {
    let dir = TempDir::new().unwrap();
    let mut job = shell(
        "for i in 1 2 3 4 5 6 7 8 9 10; do (setsid true & echo $!); done
        until [ -e gate ]; do sleep 0.01; done",
    );
    job.working_dir = dir.path().into();
    let (_stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    let listen = async {
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(heard(&mut receiver).await.parse().unwrap());
        }
        while ids.iter().any(|&id| exists(id)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fs::write(dir.path().join("gate"), "").unwrap();
    };
    let both = async { tokio::join!(run_command(job, sender, stop), listen) };
    tokio::time::timeout(HANG, both).await.unwrap().0.unwrap();
}

#[tokio::test]
async fn an_attempt_that_is_stopped_before_it_begins_starts_nothing() {
    let dir = TempDir::new().unwrap();
    let mut job = shell("touch begun");
    job.working_dir = dir.path().into();
    let (stopper, stop) = Stopper::new();
    stopper.stop(StopReason::Cancelled);
    let (sender, _receiver) = mpsc::channel(4);
    let failure = run_command(job, sender, stop).await.unwrap_err();
    assert_eq!(failure, StopReason::Cancelled.failure());
    assert!(!dir.path().join("begun").exists());
}
