//! Asks for a workflow's parameters and starts it.

use std::collections::BTreeMap;

use limelight_protocol::{
    WorkflowId,
    workflow::{Execute, ParamSpec, ParamType, WorkflowDetail},
};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;
use yew_router::prelude::*;

use super::{
    dialog::Dialog,
    icon::{Icon, icon},
    input::typed,
    panel::{action_failure, view_remote},
};
use crate::{
    api,
    app::Route,
    hooks::{use_action, use_remote},
    state::params::{initial_text, noun, read_form},
};

#[derive(Properties, PartialEq)]
pub struct RunDialogProps {
    /// The workflow to start.
    pub id: WorkflowId,
    /// Its name.
    pub name: AttrValue,
    /// Closes the dialog.
    pub onclose: Callback<()>,
}

/// The dialog: fetches the newest version, shows its form, starts it and goes to the execution.
#[component]
pub fn RunDialog(props: &RunDialogProps) -> Html {
    let detail = use_remote(props.id, |id| api::workflow(id, None));
    html! {
        <Dialog title={format!("Run {}", props.name)} onclose={props.onclose.clone()}>
            { view_remote(&detail, &detail.reload, |detail| html! { <RunForm detail={detail.clone()} /> }) }
        </Dialog>
    }
}

#[derive(Properties, PartialEq)]
struct RunFormProps {
    detail: WorkflowDetail,
}

#[component]
fn RunForm(props: &RunFormProps) -> Html {
    let navigator = use_navigator();
    let specs = &props.detail.params;
    let texts = use_state(|| {
        specs
            .iter()
            .map(|(name, spec)| (name.clone(), initial_text(spec)))
            .collect::<BTreeMap<_, _>>()
    });
    let name = use_state_eq(String::new);
    let faults = use_state_eq(BTreeMap::<String, String>::new);
    let action = use_action();
    let form = use_node_ref();
    use_effect_with((), {
        let form = form.clone();
        move |()| focus_first_field(&form)
    });

    let onsubmit = {
        let (texts, name, faults, action) =
            (texts.clone(), name.clone(), faults.clone(), action.clone());
        let detail = props.detail.clone();
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            match read_form(&detail.params, &texts) {
                Err(found) => faults.set(found),
                Ok(params) => {
                    faults.set(BTreeMap::new());
                    let execute = Execute {
                        params,
                        name: Some(name.trim().to_owned()).filter(|name| !name.is_empty()),
                        ..Execute::default()
                    };
                    let id = detail.workflow.id;
                    let navigator = navigator.clone();
                    action.run(
                        async move { api::execute(id, &execute).await },
                        move |started| {
                            if let Some(navigator) = navigator {
                                navigator.push(&Route::Execution {
                                    id: started.execution_id,
                                });
                            }
                        },
                    );
                }
            }
        })
    };
    let fields = specs.iter().map(|(param, spec)| {
        let onchange = {
            let (texts, param) = (texts.clone(), param.clone());
            Callback::from(move |text: String| {
                let mut changed = (*texts).clone();
                changed.insert(param.clone(), text);
                texts.set(changed);
            })
        };
        let text = texts.get(param).cloned().unwrap_or_default();
        field(param, spec, text, faults.get(param), &onchange)
    });
    html! {
        <form ref={form} class="form" {onsubmit}>
            if specs.is_empty() { <p class="muted">{ "It takes no parameters." }</p> }
            { for fields }
            <label class="field">
                <span class="field-name">{ "Name of this execution " }<em>{ "optional" }</em></span>
                <input type="text" value={(*name).clone()} oninput={typed(&name)} maxlength="200" autocomplete="off" />
            </label>
            { action_failure(action.failure()) }
            <div class="form-foot">
                <button type="submit" class="primary" id="run-start" data-testid="run-start" disabled={action.busy()}>{ icon(Icon::Play) }{ "Start" }</button>
            </div>
        </form>
    }
}

/// The dialog opens before its fields are there, so the focus is moved to them when they are.
fn focus_first_field(form: &NodeRef) {
    let first = form
        .cast::<Element>()
        .and_then(|form| {
            form.query_selector("input, select, textarea")
                .ok()
                .flatten()
        })
        .and_then(|field| field.dyn_into::<HtmlElement>().ok());
    if let Some(first) = first {
        // Focus can be refused by the browser; nothing depends on it.
        let _ = first.focus();
    }
}

fn field(
    name: &str,
    spec: &ParamSpec,
    text: String,
    fault: Option<&String>,
    onchange: &Callback<String>,
) -> Html {
    let id = format!("param-{name}");
    let hint = format!("{id}-hint");
    let described = Some(hint.clone());
    let invalid = fault.is_some().then_some("true");
    let input = match spec.kind {
        ParamType::Boolean => {
            let onchange = onchange
                .reform(|event: Event| event.target_unchecked_into::<HtmlSelectElement>().value());
            html! {
                <select {id} aria-describedby={described} {onchange}>
                    <option value="true" selected={text == "true"}>{ "true" }</option>
                    <option value="false" selected={text != "true"}>{ "false" }</option>
                </select>
            }
        }
        ParamType::Object | ParamType::Array => {
            let oninput = onchange.reform(|event: InputEvent| {
                event.target_unchecked_into::<HtmlTextAreaElement>().value()
            });
            html! { <textarea {id} class="mono" rows="4" aria-describedby={described} aria-invalid={invalid} value={text} {oninput} spellcheck="false" /> }
        }
        ParamType::String | ParamType::Number | ParamType::Integer => {
            let oninput = onchange.reform(|event: InputEvent| {
                event.target_unchecked_into::<HtmlInputElement>().value()
            });
            let inputmode = match spec.kind {
                ParamType::Number => "decimal",
                ParamType::Integer => "numeric",
                _ => "text",
            };
            html! { <input {id} type="text" {inputmode} aria-describedby={described} aria-invalid={invalid} value={text} {oninput} autocomplete="off" /> }
        }
    };
    html! {
        <div class="field" key={name.to_owned()}>
            <label class="field-name" for={format!("param-{name}")}>
                { name }{ " " }<em>{ if spec.required { "required" } else { "optional" } }</em>
            </label>
            { input }
            <span class="hint" id={hint}>
                if let Some(fault) = fault { <strong class="fault">{ format!("{name} {fault}. ") }</strong> }
                { spec.description.clone().unwrap_or_else(|| format!("Takes {}.", noun(spec.kind))) }
            </span>
        </div>
    }
}
