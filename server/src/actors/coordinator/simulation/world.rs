//! The world of one history: executions, their coordinators, the journal, work, and time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use limelight_engine::Command;
use limelight_protocol::{
    Execution, ExecutionId, ExecutionStatus, NodeId, NodeStatus, Timestamp, WorkflowId,
    event::WorkflowStarted, execution::WaitReason, workflow::Execute,
};
use parking_lot::Mutex;
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::oneshot};
use uuid::Uuid;

use super::{
    super::{
        Answer, Beginning, ControlError, Loader, NewRow,
        attempts::{Grant, Grants, Resources},
        machine::{Effect, Machine},
    },
    journal::{Fate, Mail, Sent, lost},
    plan,
    work::Working,
};
use crate::{
    actors::{
        coordinators::pending,
        journal::{Retry, batch_len},
    },
    auth::Caller,
    clock::Moment,
    executor::{Failure, Success, at_work::AtWork, slots::Slots},
    store::{
        AppendError, DatabaseUrl, JournalWriter, NewWorkflow, Store, StoreOptions, StoredVersion,
        Synchronous,
    },
};

/// Most executions in a history.
const EXECUTIONS: usize = 3;
/// Steps after which a history that does not end is taken to hang.
const PATIENCE: usize = 20_000;

/// What all histories share.
pub struct Base {
    pub runtime: Runtime,
    pub store: Store,
    pub writer: JournalWriter,
    pub reader: rusqlite::Connection,
    histories: u64,
    _folder: TempDir,
}

impl Base {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("simulation.db");
        let options = StoreOptions {
            url: DatabaseUrl::Sqlite(path.clone()),
            synchronous: Synchronous::Off,
        };
        let (store, writer) = runtime.block_on(Store::open(options)).unwrap();
        Self {
            runtime,
            store,
            writer,
            reader: rusqlite::Connection::open(path).unwrap(),
            histories: 0,
            _folder: folder,
        }
    }
}

/// An execution's coordinator.
enum Coordinator {
    Alive(Box<Machine>),
    /// To be loaded again once nothing it had started is at work.
    Failed,
    Finished,
}

/// One execution as the world has it.
struct Actor {
    coordinator: Coordinator,
    generation: u32,
    /// What waits in its mailbox.
    ended: Vec<(u32, usize, u32, Result<Success, Failure>)>,
    answers: Vec<oneshot::Receiver<Result<Execution, ControlError>>>,
}

/// Grants on their way: for whom, of which generation.
type GrantMail = Arc<Mutex<Vec<(ExecutionId, u32, Grant)>>>;

pub struct World<'a> {
    pub base: &'a mut Base,
    pub resources: Resources,
    /// What was ever performed, each once.
    pub performed: BTreeMap<(ExecutionId, usize, u32), u32>,
    pub ids: Vec<ExecutionId>,
    rng: StdRng,
    now: Moment,
    version: StoredVersion,
    owner: Arc<str>,
    loader: Loader,
    actors: BTreeMap<ExecutionId, Actor>,
    grants: GrantMail,
    mail: Mail,
    working: Vec<Working>,
    total_slots: usize,
}

impl<'a> World<'a> {
    pub fn new(base: &'a mut Base, mut rng: StdRng) -> Self {
        base.histories += 1;
        let name = format!("simulated-{}", base.histories);
        let source = plan::definition(&mut rng, &name).to_string();
        let id = WorkflowId(Uuid::from_u128(rng.random()));
        let new = NewWorkflow {
            id,
            name,
            description: String::new(),
            node_count: 1,
            source,
            now: Timestamp(1_795_255_200_000),
        };
        let caller = Caller::system();
        let version = base
            .runtime
            .block_on(async {
                base.store.create_workflow(&caller, new).await?;
                base.store.get_workflow_version(&caller, id, None).await
            })
            .unwrap()
            .unwrap();
        let total_slots = rng.random_range(1..=2);
        Self {
            base,
            resources: Resources {
                slots: Slots::new(total_slots),
                at_work: AtWork::default(),
            },
            performed: BTreeMap::new(),
            ids: Vec::new(),
            now: Moment {
                at: Timestamp(1_795_255_200_000),
                uptime: Duration::from_secs(1),
            },
            version,
            owner: "simulated".into(),
            loader: Loader::default(),
            actors: BTreeMap::new(),
            grants: GrantMail::default(),
            mail: Mail::default(),
            working: Vec::new(),
            total_slots,
            rng,
        }
    }

    /// Something happens.
    pub fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..=5 => self.start(),
            6..=13 => self.control(),
            14..=15 => self.fail_coordinator(),
            16 => self.kill_server(),
            17 => self.lose_journal(),
            18 => self.take_over(),
            19..=27 => self.pass_time(),
            28 => self.set_clock(),
            29..=45 => {
                let fate = match self.rng.random_range(0..10) {
                    0 => Fate::Unanswered,
                    1 => Fate::Away,
                    _ => Fate::Done,
                };
                self.commit(fate);
            }
            46..=60 => self.answer(),
            61..=72 => self.deliver_grant(),
            73..=84 => self.work(false),
            85..=94 => self.deliver_end(),
            _ => self.restart(),
        }
    }

    /// Nothing goes wrong any more, and everybody who is asked says yes: everything must end.
    pub fn finish(&mut self) {
        for _ in 0..PATIENCE {
            self.commit(Fate::Done);
            self.answer();
            self.deliver_grant();
            self.deliver_end();
            self.restart();
            self.work(true);
            self.pass_time();
            if self.rng.random_bool(0.1) {
                self.encourage();
            }
            if self.is_over() {
                return;
            }
        }
        panic!("it does not end: {}", self.describe());
    }

    fn is_over(&self) -> bool {
        let over = |actor: &Actor| match &actor.coordinator {
            Coordinator::Alive(machine) => machine.is_over(),
            Coordinator::Failed => false,
            Coordinator::Finished => true,
        };
        self.actors.values().all(over)
            && self.working.is_empty()
            && self.mail.waiting.is_empty()
            && self.mail.answers.is_empty()
            && self.grants.lock().is_empty()
            && self.live().is_empty()
    }

    fn describe(&self) -> String {
        let each = self
            .actors
            .iter()
            .map(|(id, actor)| match &actor.coordinator {
                Coordinator::Alive(machine) => {
                    let run = machine.run();
                    let nodes = run.node_states().iter();
                    let nodes: Vec<_> = nodes
                        .map(|state| format!("{} {}", state.node_id, state.status.as_str()))
                        .collect();
                    format!("{id} {} [{}]", run.status().as_str(), nodes.join(", "))
                }
                Coordinator::Failed => format!("{id} failed"),
                Coordinator::Finished => format!("{id} finished"),
            });
        let slots = &self.resources.slots;
        format!(
            "{}; {} slots taken, {} wait; {} at work",
            each.collect::<Vec<_>>().join("; "),
            slots.taken(),
            slots.waiting(),
            self.working.len()
        )
    }

    /// Executions that have not ended, as the store has it.
    fn live(&self) -> Vec<ExecutionId> {
        let stored = |id: &&ExecutionId| super::checks::is_live(&self.base.reader, **id);
        self.ids.iter().filter(stored).copied().collect()
    }

    fn pick(&mut self) -> Option<ExecutionId> {
        self.ids.choose(&mut self.rng).copied()
    }

    fn grants(&self, id: ExecutionId, generation: u32) -> Grants {
        let mail = Arc::clone(&self.grants);
        Arc::new(move |grant| mail.lock().push((id, generation, grant)))
    }

    fn start(&mut self) {
        if self.ids.len() >= EXECUTIONS {
            return;
        }
        let id = ExecutionId(Uuid::from_u128(self.rng.random()));
        let workflow = &self.version.workflow;
        let definition = self
            .loader
            .definition(workflow.id, workflow.version, &self.version.source)
            .unwrap();
        let Execute {
            params,
            name,
            labels,
        } = Execute::default();
        let started = WorkflowStarted {
            workflow_name: workflow.name.clone(),
            workflow_version: workflow.version,
            params,
            name,
            labels,
            by: "somebody".to_owned(),
            total_nodes: definition.nodes().len() as u32,
        };
        let beginning = Beginning {
            execution: Box::new(pending(id, &self.version, &started)),
            definition,
            started,
            row: NewRow {
                owner: Arc::clone(&self.owner),
                idempotency_key: None,
            },
        };
        let (answer, answered) = oneshot::channel();
        let grants = self.grants(id, 1);
        let jitter = self.rng.random();
        let resources = self.resources.clone();
        let machine = Machine::begin(beginning, resources, grants, answer, self.now, jitter);
        let actor = Actor {
            coordinator: Coordinator::Alive(Box::new(machine)),
            generation: 1,
            ended: Vec::new(),
            answers: vec![answered],
        };
        self.ids.push(id);
        self.actors.insert(id, actor);
        self.perform_effects(id);
    }

    /// Tells a coordinator something, and carries its effects out.
    fn tell(&mut self, id: ExecutionId, what: impl FnOnce(&mut Machine, Moment, f64)) {
        let jitter = self.rng.random();
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        if let Coordinator::Alive(machine) = &mut actor.coordinator {
            what(machine, self.now, jitter);
        }
        self.perform_effects(id);
    }

    fn perform_effects(&mut self, id: ExecutionId) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        let generation = actor.generation;
        let Coordinator::Alive(machine) = &mut actor.coordinator else {
            return;
        };
        for effect in machine.take_effects() {
            match effect {
                Effect::Commit(append) => self.mail.waiting.push_back(Sent {
                    execution: id,
                    generation,
                    append: Arc::new(append),
                    tried: Duration::ZERO,
                }),
                Effect::Perform(job) => {
                    let same = |other: &Working| other.execution == id && other.node == job.node;
                    assert!(
                        !self.working.iter().any(same),
                        "two attempts of {} at a time",
                        job.node_id
                    );
                    assert!(
                        super::checks::has_started(&self.base.reader, id, &job),
                        "attempt {} of {} began before that was committed",
                        job.attempt,
                        job.node_id
                    );
                    *self
                        .performed
                        .entry((id, job.node, job.attempt))
                        .or_default() += 1;
                    self.working.push(Working::new(id, generation, *job));
                    assert!(self.working.len() <= self.total_slots, "too many at work");
                }
            }
        }
        self.hear_answers(id);
    }

    /// What a caller was told must be in the store by then.
    fn hear_answers(&mut self, id: ExecutionId) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        let reader = &self.base.reader;
        actor.answers.retain_mut(|answer| match answer.try_recv() {
            Ok(Ok(execution)) => {
                let stored = super::checks::newest_seq(reader, id);
                assert!(
                    stored >= execution.seq,
                    "acknowledged event {} of {id}, but {stored} are stored",
                    execution.seq
                );
                false
            }
            Err(oneshot::error::TryRecvError::Empty) => true,
            _ => false,
        });
    }

    fn control(&mut self) {
        let Some(id) = self.pick() else { return };
        let node = NodeId::new(&format!("n{}", self.rng.random_range(0..7))).unwrap();
        let (by, comment) = ("somebody".to_owned(), None);
        let command = match self.rng.random_range(0..12) {
            0..=3 => Command::Pause { by },
            4..=6 => Command::Resume { by },
            7 => Command::Cancel { by },
            8..=9 => Command::RetryNode { node, by },
            10 => Command::Reject { node, by, comment },
            _ => Command::Approve { node, by, comment },
        };
        self.command(id, command);
    }

    fn command(&mut self, id: ExecutionId, command: Command) {
        self.load_if_finished(id);
        let (answer, answered): (Answer, _) = oneshot::channel();
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.answers.push(answered);
        }
        self.tell(id, |machine, now, jitter| {
            machine.command(command, Some(answer), now, jitter);
        });
    }

    /// Resumes what is paused and approves what asks.
    fn encourage(&mut self) {
        for id in self.ids.clone() {
            let Some(actor) = self.actors.get(&id) else {
                continue;
            };
            let Coordinator::Alive(machine) = &actor.coordinator else {
                continue;
            };
            let by = "somebody".to_owned();
            let mut commands = Vec::new();
            if machine.run().status() == ExecutionStatus::Paused {
                commands.push(Command::Resume { by: by.clone() });
            }
            for state in machine.run().node_states() {
                if state.status == NodeStatus::Waiting
                    && state.waiting_for == Some(WaitReason::Approval)
                {
                    commands.push(Command::Approve {
                        node: state.node_id.clone(),
                        by: by.clone(),
                        comment: None,
                    });
                }
            }
            for command in commands {
                self.command(id, command);
            }
        }
    }

    fn pass_time(&mut self) {
        let millis = self.rng.random_range(1..4000);
        self.now.uptime += Duration::from_millis(millis);
        self.now.at = Timestamp(self.now.at.0 + millis.cast_signed());
        for id in self.ids.clone() {
            let due = match &self.actors[&id].coordinator {
                Coordinator::Alive(machine) => machine.next_due(),
                _ => None,
            };
            if due.is_some_and(|due| due <= self.now.uptime) {
                self.tell(id, Machine::wake);
            }
        }
    }

    /// Somebody sets the wall clock by an hour.
    fn set_clock(&mut self) {
        let millis = if self.rng.random() { 1 } else { -1 } * 3_600_000;
        self.now.at = Timestamp(self.now.at.0 + millis);
    }

    fn commit(&mut self, fate: Fate) {
        let sizes = self
            .mail
            .waiting
            .iter()
            .map(|sent| sent.append.events.len());
        let batch: Vec<_> = self.mail.waiting.drain(..batch_len(sizes)).collect();
        if batch.is_empty() {
            return;
        }
        if fate == Fate::Away {
            let answers = batch.into_iter().map(|sent| (sent, Err(lost())));
            self.mail.answers.extend(answers);
            return;
        }
        let appends: Vec<_> = batch.iter().map(|sent| Arc::clone(&sent.append)).collect();
        let Base {
            runtime, writer, ..
        } = &mut *self.base;
        let results = runtime.block_on(writer.commit(appends));
        for (sent, result) in batch.into_iter().zip(results) {
            let told = match fate {
                Fate::Done => result.map(drop),
                _ => Err(lost()),
            };
            self.mail.answers.push((sent, told));
        }
    }

    /// An answer of the journal comes to whoever sent the append, which tries again what was lost.
    fn answer(&mut self) {
        if self.mail.answers.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.mail.answers.len());
        let (mut sent, told) = self.mail.answers.swap_remove(at);
        let id = sent.execution;
        if self.actors[&id].generation != sent.generation {
            return;
        }
        match told {
            Ok(()) => self.tell(id, |machine, now, jitter| {
                machine.committed(now, jitter);
            }),
            Err(AppendError::Fenced) => {
                self.tell(id, |machine, _, _| machine.give_way());
                self.end(id, Coordinator::Finished);
            }
            Err(error @ AppendError::Store(_)) => match Retry::of(&error, sent.tried) {
                Retry::After(pause) => {
                    // Far longer than it is, so that patience ends within a history.
                    sent.tried += pause + Duration::from_secs(100);
                    self.mail.waiting.push_back(sent);
                }
                Retry::GiveUp => self.end(id, Coordinator::Failed),
            },
            Err(AppendError::Conflict(why)) => panic!("an append does not fit: {why}"),
        }
    }

    fn deliver_grant(&mut self) {
        let mut grants = self.grants.lock();
        if grants.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..grants.len());
        let (id, generation, grant) = grants.swap_remove(at);
        // Dropping a grant frees its slot, and that may grant to the next.
        drop(grants);
        if self.actors[&id].generation == generation {
            self.tell(id, |machine, now, jitter| {
                machine.granted(grant, now, jitter);
            });
        }
    }

    fn work(&mut self, well: bool) {
        if self.working.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.working.len());
        let luck = if well { 0.0 } else { self.rng.random() };
        if !well && !self.working[at].is_stopped() && self.rng.random_bool(0.3) {
            let Working {
                execution,
                node,
                attempt,
                ..
            } = self.working[at];
            let progress = Command::Progress {
                node,
                attempt,
                progress: luck * 100.0,
                message: None,
            };
            self.tell(execution, |machine, now, jitter| {
                machine.progress(progress, now, jitter);
            });
            return;
        }
        // Dropping it drops its permit.
        let done = self.working.swap_remove(at);
        let result = done.result(luck);
        if let Some(actor) = self.actors.get_mut(&done.execution) {
            actor
                .ended
                .push((done.generation, done.node, done.attempt, result));
        }
    }

    fn deliver_end(&mut self) {
        let Some(id) = self.pick() else { return };
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        if actor.ended.is_empty() {
            return;
        }
        let (generation, node, attempt, result) = actor.ended.remove(0);
        if generation == actor.generation {
            self.tell(id, |machine, now, jitter| {
                machine.ended(node, attempt, result, now, jitter);
            });
        }
    }

    fn end(&mut self, id: ExecutionId, how: Coordinator) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        actor.generation += 1;
        actor.ended.clear();
        let before = std::mem::replace(&mut actor.coordinator, how);
        drop(before);
        self.hear_answers(id);
    }

    /// A panic in a coordinator.
    fn fail_coordinator(&mut self) {
        if let Some(id) = self.pick()
            && matches!(self.actors[&id].coordinator, Coordinator::Alive(_))
        {
            self.end(id, Coordinator::Failed);
        }
    }

    /// Another owner claims the execution: whoever has it is refused from now on.
    fn take_over(&mut self) {
        let Some(id) = self.pick() else { return };
        let base = &*self.base;
        let claim = base.store.claim_execution(id, "another");
        // One that is not committed yet cannot be claimed.
        let _ = base.runtime.block_on(claim);
    }

    /// A panic in the journal: what waited is neither committed nor answered.
    fn lose_journal(&mut self) {
        let lost_ones = self.mail.waiting.drain(..).map(|sent| (sent, Err(lost())));
        self.mail.answers.extend(lost_ones);
    }

    /// `kill -9`, and a new server on what is stored.
    fn kill_server(&mut self) {
        if self.rng.random() {
            self.commit(Fate::Unanswered);
        }
        self.mail = Mail::default();
        for id in self.ids.clone() {
            self.end(id, Coordinator::Finished);
        }
        self.working.clear();
        self.grants.lock().clear();
        self.resources = Resources {
            slots: Slots::new(self.total_slots),
            at_work: AtWork::default(),
        };
        self.loader = Loader::default();
        for id in self.live() {
            if let Some(actor) = self.actors.get_mut(&id) {
                actor.coordinator = Coordinator::Failed;
            }
        }
    }

    fn load_if_finished(&mut self, id: ExecutionId) {
        if matches!(self.actors[&id].coordinator, Coordinator::Finished) {
            self.end(id, Coordinator::Failed);
            self.load(id);
        }
    }

    /// Fresh coordinators for those that failed, and for what others have left behind.
    fn restart(&mut self) {
        for id in self.ids.clone() {
            let failed = matches!(self.actors[&id].coordinator, Coordinator::Failed);
            let left = matches!(self.actors[&id].coordinator, Coordinator::Finished)
                && super::checks::is_live(&self.base.reader, id);
            if failed || left {
                self.load(id);
            }
        }
    }

    fn load(&mut self, id: ExecutionId) {
        // The actor waits here.
        if self.resources.at_work.is_at_work(id) {
            return;
        }
        let Base { runtime, store, .. } = &*self.base;
        let loaded = runtime.block_on(self.loader.load(store, &self.owner, id, None));
        let jitter = self.rng.random();
        let (resources, now) = (self.resources.clone(), self.now);
        let grants = self.grants(id, self.actors[&id].generation);
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        actor.coordinator = match loaded.unwrap() {
            Some(loaded) => {
                let machine = Machine::resume(loaded, resources, grants, now, jitter);
                Coordinator::Alive(Box::new(machine))
            }
            // Its begin was never committed.
            None => Coordinator::Finished,
        };
        self.perform_effects(id);
    }
}
