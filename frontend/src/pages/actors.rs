//! The supervision tree, live.

use limelight_protocol::{
    Topic,
    actor::{ActorState, ActorTree},
};
use yew::prelude::*;

use crate::{
    api,
    components::{
        input::typed,
        panel::{Empty, FailureNote, Panel},
        status::status_mark,
        time::Ago,
    },
    format,
    hooks::{use_loader, use_model, use_title},
    socket::{Message, Start, use_topic},
    state::actors::{Readings, Row},
};

/// Most rows drawn; the filter finds the others.
const SHOWN: usize = 500;

/// The actors' page.
#[component]
pub fn ActorsPage() -> Html {
    use_title("Actors");
    let readings = use_model::<Readings>();
    let failure = use_state_eq(|| None);
    let filter = use_state_eq(String::new);
    let take = {
        let (readings, failure) = (readings.changer(), failure.setter());
        Callback::from(move |answer| match answer {
            Ok(tree) => {
                failure.set(None);
                readings.change(move |readings| readings.take(tree));
            }
            Err(why) => failure.set(Some(why)),
        })
    };
    let reload = use_loader((), |()| api::actors(), take.clone());
    use_topic(Some(Topic::Actors), Start::Snapshot, {
        let reload = reload.clone();
        Callback::from(move |message| match message {
            Message::Snapshot(data) => {
                if let Ok(tree) = serde_json::from_str::<ActorTree>(data.get()) {
                    take.emit(Ok(tree));
                }
            }
            Message::Poll => reload.emit(()),
            Message::Events(_) | Message::Gap | Message::Refused(_) => {}
        })
    });
    let aside = html! {
        <label class="inline">
            <span>{ "Filter" }</span>
            <input type="search" id="actor-filter" data-testid="actor-filter" value={(*filter).clone()} oninput={typed(&filter)} placeholder="path, kind or state" />
        </label>
    };
    let rows = readings.matching(&filter);
    let (all, restarts, panics) = (
        readings.rows().len() as u64,
        readings
            .rows()
            .iter()
            .map(|row| row.actor.restarts)
            .sum::<u64>(),
        readings
            .rows()
            .iter()
            .map(|row| row.actor.panics)
            .sum::<u64>(),
    );
    let unread = readings.at().is_none();
    html! {
        <>
            <header class="page-head">
                <h1>{ "Actors" }</h1>
                if !unread { <p class="muted num">{ format!("{}, {}, {}", format::counted(all, "actor"), format::counted(restarts, "restart"), format::counted(panics, "panic")) }</p> }
            </header>
            <Panel title="Supervision tree" id="actors" at={readings.at()} live=true {aside}>
                if let Some(failure) = &*failure { <FailureNote failure={failure.clone()} retry={reload} /> }
                if unread && failure.is_none() {
                    <p class="muted" role="status">{ "Loading" }</p>
                } else if rows.is_empty() && !unread {
                    <Empty title="No actor fits the filter." />
                } else if !unread {
                    { table(&rows) }
                }
            </Panel>
        </>
    }
}

fn table(rows: &[&Row]) -> Html {
    html! {
        <>
            <div class="table-scroll" tabindex="0" role="group" aria-label="Actors">
                <table class="dense">
                    <caption class="visually-hidden">{ "Actors" }</caption>
                    <thead>
                        <tr>
                            <th scope="col">{ "Actor" }</th>
                            <th scope="col">{ "State" }</th>
                            <th scope="col" class="right">{ "Mailbox" }</th>
                            <th scope="col" class="right">{ "Handled" }</th>
                            <th scope="col" class="right">{ "Per second" }</th>
                            <th scope="col" class="right">{ "Restarts" }</th>
                            <th scope="col" class="right">{ "Panics" }</th>
                            <th scope="col" class="right">{ "Last beat" }</th>
                        </tr>
                    </thead>
                    <tbody>{ for rows.iter().take(SHOWN).map(|row| actor_row(row)) }</tbody>
                </table>
            </div>
            if rows.len() > SHOWN { <p class="muted panel-foot num">{ format!("{} more: narrow the filter to see them.", format::count((rows.len() - SHOWN) as u64)) }</p> }
        </>
    }
}

fn actor_row(row: &Row) -> Html {
    let actor = &row.actor;
    let alarm = |number: u64| (number > 0).then_some("alarm");
    let rate = row
        .rate_per_s
        .map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}"));
    let error = actor
        .last_error
        .as_ref()
        .filter(|_| actor.state != ActorState::Running || actor.restarts > 0);
    html! {
        <tr key={actor.path.clone()} data-testid="actor-row" data-path={actor.path.clone()} data-state={crate::state::actors::state_text(actor.state)}>
            <td class="tree" style={format!("padding-left:{}px", 14 + row.depth * 20)}>
                <span title={actor.path.clone()}>{ &row.name }</span>
                <span class="sub">{ &actor.kind }if let Some(error) = error { { " · " }<span class="fault">{ error }</span> }</span>
            </td>
            <td>{ status_mark(actor.state, None) }</td>
            <td class="right num">{ format::count(actor.mailbox) }</td>
            <td class="right num">{ format::count(actor.handled) }</td>
            <td class="right num">{ rate }</td>
            <td class={classes!("right", "num", alarm(actor.restarts))}>{ format::count(actor.restarts) }</td>
            <td class={classes!("right", "num", alarm(actor.panics))}>{ format::count(actor.panics) }</td>
            <td class="right num"><Ago at={actor.last_beat} /></td>
        </tr>
    }
}
