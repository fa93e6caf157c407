//! Hooks that several pages share: clocks, loading, throttling.

use std::{cell::RefCell, future::Future, ops::Deref, pin::Pin, rc::Rc};

use gloo_timers::callback::{Interval, Timeout};
use limelight_protocol::Timestamp;
use yew::prelude::*;

use crate::{api::Answer, browser, state::remote::Remote};

/// The time, told anew every `period_ms` while `ticking`.
#[hook]
pub fn use_clock(period_ms: u32, ticking: bool) -> Timestamp {
    let tick = use_force_update();
    use_effect_with((period_ms, ticking), move |&(period_ms, ticking)| {
        let interval = ticking.then(|| Interval::new(period_ms, move || tick.force_update()));
        move || drop(interval)
    });
    browser::now()
}

/// Names the page in the browser's tab.
#[hook]
pub fn use_title(title: &str) {
    use_effect_with(title.to_owned(), |title| {
        if let Some(page) = browser::window().document() {
            page.set_title(&format!("{title} · Limelight"));
        }
    });
}

type Fetch<T> = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Answer<T>>>>>;

struct Loader<T> {
    generation: u64,
    running: bool,
    again: bool,
    fetch: Option<Fetch<T>>,
    take: Callback<Answer<T>>,
}

impl<T: 'static> Loader<T> {
    /// Loads; what is asked for while a load is under way follows it once.
    fn run(this: &Rc<RefCell<Self>>) {
        let mut loader = this.borrow_mut();
        if loader.running {
            loader.again = true;
            return;
        }
        let Some(fetch) = loader.fetch.clone() else {
            return;
        };
        loader.running = true;
        let generation = loader.generation;
        drop(loader);
        let this = Rc::clone(this);
        wasm_bindgen_futures::spawn_local(async move {
            let answer = fetch().await;
            let mut loader = this.borrow_mut();
            if loader.generation != generation {
                return;
            }
            loader.running = false;
            let again = std::mem::take(&mut loader.again);
            let take = loader.take.clone();
            drop(loader);
            take.emit(answer);
            if again {
                Self::run(&this);
            }
        });
    }

    /// Answers that are under way are for nobody any more.
    fn renew(&mut self) {
        self.generation += 1;
        self.running = false;
        self.again = false;
    }
}

/// Loads whenever `deps` change and whenever the returned callback is called, one load at a time. An
/// answer that is overtaken by other `deps`, or by the end of the component, is dropped.
#[hook]
pub fn use_loader<D, T, F, Fut>(deps: D, fetch: F, take: Callback<Answer<T>>) -> Callback<()>
where
    D: Clone + PartialEq + 'static,
    T: 'static,
    F: Fn(D) -> Fut + 'static,
    Fut: Future<Output = Answer<T>> + 'static,
{
    let loader = use_mut_ref(|| Loader {
        generation: 0,
        running: false,
        again: false,
        fetch: None,
        take: Callback::noop(),
    });
    {
        let mut loader = loader.borrow_mut();
        let deps = deps.clone();
        loader.fetch = Some(Rc::new(move || Box::pin(fetch(deps.clone()))));
        loader.take = take;
    }
    use_effect_with(deps, {
        let loader = Rc::clone(&loader);
        move |_| {
            loader.borrow_mut().renew();
            Loader::run(&loader);
            move || loader.borrow_mut().renew()
        }
    });
    use_callback((), move |(), ()| Loader::run(&loader))
}

/// What happens to a [`Remote`].
pub enum RemoteAction<T> {
    /// An answer came; the function makes one value of what is known and what is fresh.
    Answered(Answer<T>, fn(&T, T) -> T),
    /// Something changed that is known already.
    Change(Box<dyn FnOnce(&mut T)>),
}

impl<T: Clone + 'static> Reducible for Remote<T> {
    type Action = RemoteAction<T>;

    fn reduce(self: Rc<Self>, action: RemoteAction<T>) -> Rc<Self> {
        let mut remote = (*self).clone();
        drop(self);
        let now = browser::now();
        match action {
            RemoteAction::Answered(answer, merge) => {
                let answer = answer.map(|fresh| match &remote.value {
                    Some(known) => merge(known, fresh),
                    None => fresh,
                });
                remote.answered(answer, now);
            }
            RemoteAction::Change(change) => remote.change(now, change),
        }
        Rc::new(remote)
    }
}

/// A value of the server's, and how to ask for it again.
pub struct RemoteHandle<T: Clone + 'static> {
    state: UseReducerHandle<Remote<T>>,
    /// Asks again.
    pub reload: Callback<()>,
}

impl<T: Clone + 'static> Clone for RemoteHandle<T> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            reload: self.reload.clone(),
        }
    }
}

impl<T: Clone + 'static> Deref for RemoteHandle<T> {
    type Target = Remote<T>;

    fn deref(&self) -> &Remote<T> {
        &self.state
    }
}

impl<T: Clone + 'static> RemoteHandle<T> {
    /// Sets the value to one that came by itself.
    pub fn replace(&self, value: T) {
        let replaced = RemoteAction::Answered(Ok(value), |_, fresh| fresh);
        self.state.dispatch(replaced);
    }

    /// Changes the value in place.
    pub fn change(&self, change: impl FnOnce(&mut T) + 'static) {
        self.state.dispatch(RemoteAction::Change(Box::new(change)));
    }
}

/// A value of the server's, asked for again when `deps` change; the older one stays in view meanwhile.
#[hook]
pub fn use_remote<D, T, F, Fut>(deps: D, fetch: F) -> RemoteHandle<T>
where
    D: Clone + PartialEq + 'static,
    T: Clone + 'static,
    F: Fn(D) -> Fut + 'static,
    Fut: Future<Output = Answer<T>> + 'static,
{
    use_merged(deps, fetch, |_, fresh| fresh)
}

/// The same for a value that events change too: `merge` keeps a slow answer from undoing them.
#[hook]
pub fn use_merged<D, T, F, Fut>(deps: D, fetch: F, merge: fn(&T, T) -> T) -> RemoteHandle<T>
where
    D: Clone + PartialEq + 'static,
    T: Clone + 'static,
    F: Fn(D) -> Fut + 'static,
    Fut: Future<Output = Answer<T>> + 'static,
{
    let state = use_reducer(Remote::default);
    let dispatcher = state.dispatcher();
    let take =
        Callback::from(move |answer| dispatcher.dispatch(RemoteAction::Answered(answer, merge)));
    let reload = use_loader(deps, fetch, take);
    RemoteHandle { state, reload }
}

/// A value that is changed in place and drawn anew when it was.
pub struct Model<T: Clone + 'static>(UseReducerHandle<Held<T>>);

struct Held<T>(T);

impl<T: Clone + 'static> Reducible for Held<T> {
    type Action = Box<dyn FnOnce(&mut T)>;

    fn reduce(self: Rc<Self>, change: Self::Action) -> Rc<Self> {
        let mut value = self.0.clone();
        drop(self);
        change(&mut value);
        Rc::new(Self(value))
    }
}

impl<T: Clone + 'static> Clone for Model<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone + 'static> Deref for Model<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T: Clone + 'static> Model<T> {
    /// A callback that changes whatever the value is by then.
    pub fn changer(&self) -> Changer<T> {
        Changer(self.0.dispatcher())
    }
}

/// Changes a [`Model`]; the same one as long as the component is shown.
pub struct Changer<T: Clone + 'static>(UseReducerDispatcher<Held<T>>);

impl<T: Clone + 'static> Clone for Changer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone + 'static> Changer<T> {
    /// Changes the value.
    pub fn change(&self, change: impl FnOnce(&mut T) + 'static) {
        self.0.dispatch(Box::new(change));
    }
}

/// A value that events are folded into.
#[hook]
pub fn use_model<T: Clone + Default + 'static>() -> Model<T> {
    Model(use_reducer(|| Held(T::default())))
}

/// A callback that calls `work` once, `period_ms` after the first of a burst of calls.
#[hook]
pub fn use_throttle(period_ms: u32, work: Callback<()>) -> Callback<()> {
    let timer = use_mut_ref(|| None::<Timeout>);
    let latest = use_mut_ref(|| work.clone());
    latest.replace(work);
    use_effect_with((), {
        let timer = Rc::clone(&timer);
        move |()| move || drop(timer.take())
    });
    use_callback(period_ms, move |(), &period_ms| {
        if timer.borrow().is_some() {
            return;
        }
        let (fired, latest) = (Rc::clone(&timer), Rc::clone(&latest));
        timer.replace(Some(Timeout::new(period_ms, move || {
            fired.take();
            let work = latest.borrow().clone();
            work.emit(());
        })));
    })
}

/// An action that takes a while: whether it is under way, and how it last failed.
pub struct Action {
    busy: UseStateHandle<bool>,
    failure: UseStateHandle<Option<crate::api::Failure>>,
}

impl Clone for Action {
    fn clone(&self) -> Self {
        Self {
            busy: self.busy.clone(),
            failure: self.failure.clone(),
        }
    }
}

impl Action {
    /// Whether it is under way.
    pub fn busy(&self) -> bool {
        *self.busy
    }

    /// How it last failed.
    pub fn failure(&self) -> Option<&crate::api::Failure> {
        self.failure.as_ref()
    }

    /// Does it, unless it is under way already; `then` is told of a success.
    pub fn run<T: 'static>(
        &self,
        work: impl Future<Output = Answer<T>> + 'static,
        then: impl FnOnce(T) + 'static,
    ) {
        if *self.busy {
            return;
        }
        let (busy, failure) = (self.busy.setter(), self.failure.setter());
        busy.set(true);
        wasm_bindgen_futures::spawn_local(async move {
            let answer = work.await;
            busy.set(false);
            match answer {
                Ok(value) => {
                    failure.set(None);
                    then(value);
                }
                Err(why) => failure.set(Some(why)),
            }
        });
    }
}

/// An action that a button starts.
#[hook]
pub fn use_action() -> Action {
    Action {
        busy: use_state_eq(|| false),
        failure: use_state_eq(|| None),
    }
}
