//! The host, live at one reading a second.

use std::rc::Rc;

use limelight_protocol::{EventBody, Topic, host::HostSample};
use yew::prelude::*;

use crate::{
    api, browser,
    chart::{Chart, Series, Unit},
    components::panel::{Empty, FailureNote, Panel},
    format,
    hooks::{Changer, use_loader, use_model},
    socket::{Message, Start, use_topic},
    state::host::{HostSeries, Measure, SPAN_S, STEP_S},
};

const fn series(measure: Measure, name: &'static str, colour: &'static str) -> Series {
    Series {
        measure,
        name,
        colour,
    }
}

const CPU: &[Series] = &[series(Measure::Cpu, "all cores", "--series-1")];
const MEMORY: &[Series] = &[series(Measure::Memory, "used", "--series-2")];
const NETWORK: &[Series] = &[
    series(Measure::Received, "in", "--series-1"),
    series(Measure::Sent, "out", "--series-3"),
];
const LOAD: &[Series] = &[series(Measure::Load, "1 min", "--series-4")];

fn take(host: &Changer<Rc<HostSeries>>, samples: Vec<HostSample>) {
    host.change(move |host| {
        let host = Rc::make_mut(host);
        samples.into_iter().for_each(|sample| host.take(sample));
    });
}

/// Charts of the last quarter of an hour and a line about the server itself.
#[component]
pub fn HostPanel() -> Html {
    let host = use_model::<Rc<HostSeries>>();
    let failure = use_state_eq(|| None);
    let fetch = |()| async {
        let now = browser::now();
        api::host_history(now.plus_s(-SPAN_S), now, STEP_S).await
    };
    let reload = use_loader((), fetch, {
        let (host, failure) = (host.changer(), failure.setter());
        Callback::from(move |answer| match answer {
            Ok(history) => {
                failure.set(None);
                host.change(move |host| Rc::make_mut(host).load(history));
            }
            Err(why) => failure.set(Some(why)),
        })
    });
    use_topic(Some(Topic::Metrics), Start::Snapshot, {
        let (host, reload) = (host.changer(), reload.clone());
        Callback::from(move |message| match message {
            Message::Snapshot(data) => {
                let sample = serde_json::from_str::<Option<HostSample>>(data.get());
                take(&host, sample.ok().flatten().into_iter().collect());
            }
            Message::Events(events) => {
                let samples = events.iter().filter_map(|event| match event.body() {
                    Ok(EventBody::MetricsSample(sample)) => Some(sample),
                    _ => None,
                });
                take(&host, samples.collect());
            }
            Message::Poll | Message::Gap => reload.emit(()),
            Message::Refused(_) => {}
        })
    });
    let latest = host.latest();
    let at = latest.map(|sample| sample.at);
    let cores = latest.map(|sample| format::counted(sample.cores_percent.len() as u64, "core"));
    html! {
        <Panel title="Host" id="host" {at} live=true aside={cores.map_or_else(Html::default, |cores| html! { <span class="muted">{ cores }</span> })}>
            if let Some(failure) = &*failure { <FailureNote failure={failure.clone()} retry={reload} /> }
            if let Some(sample) = latest {
                { charts(&host, sample) }
                { details(sample) }
            } else if failure.is_none() {
                <Empty title="No reading yet."><p class="muted">{ "The collector takes one a second." }</p></Empty>
            }
        </Panel>
    }
}

fn charts(host: &Rc<HostSeries>, sample: &HostSample) -> Html {
    let chart = |title: &'static str, series: &'static [Series], unit: Unit, most: Option<f64>| {
        html! { <Chart {title} host={Rc::clone(host)} {series} {unit} {most} span_s={SPAN_S} /> }
    };
    html! {
        <div class="charts">
            { chart("CPU", CPU, Unit::Percent, Some(100.0)) }
            { chart("Memory", MEMORY, Unit::Bytes, Some(sample.memory_total_bytes as f64)) }
            { chart("Network", NETWORK, Unit::BytesPerSecond, None) }
            { chart("Load", LOAD, Unit::Plain, None) }
        </div>
    }
}

fn details(sample: &HostSample) -> Html {
    let bytes = |amount: u64| format::bytes(amount as f64);
    let used = |used: u64, total: u64| format!("{} of {}", bytes(used), bytes(total));
    let disks = sample.disks.iter().map(|disk| {
        html! { <div><dt>{ format!("Disk {}", disk.mount) }</dt><dd class="num">{ used(disk.used_bytes, disk.total_bytes) }</dd></div> }
    });
    html! {
        <dl class="facts compact">
            <div><dt>{ "Server process" }</dt><dd class="num">{ format!("{:.1} % CPU, {}", sample.process.cpu_percent, bytes(sample.process.resident_bytes)) }</dd></div>
            <div><dt>{ "Memory" }</dt><dd class="num">{ used(sample.memory_used_bytes, sample.memory_total_bytes) }</dd></div>
            if sample.swap_total_bytes > 0 { <div><dt>{ "Swap" }</dt><dd class="num">{ used(sample.swap_used_bytes, sample.swap_total_bytes) }</dd></div> }
            <div><dt>{ "Load 1, 5, 15 min" }</dt><dd class="num">{ sample.load_average.map(|load| format!("{load:.2}")).join("  ") }</dd></div>
            { for disks }
        </dl>
    }
}
