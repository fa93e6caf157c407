//! Edits a definition: every fault is shown with its place before it is saved.

use limelight_protocol::{
    WorkflowId,
    error::Fault,
    workflow::{Validation, WorkflowDetail},
};
use web_sys::HtmlTextAreaElement;
use yew::prelude::*;

use super::{
    dialog::Dialog,
    icon::{Icon, icon},
    panel::action_failure,
};
use crate::{
    api::{self, Failure},
    hooks::use_action,
};

/// What a new definition begins with.
const TEMPLATE: &str = "\
name: hello
description: Says hello, then asks whether that was enough
params:
  who: {type: string, default: world}
nodes:
  greet:   {kind: command, run: \"echo hello {{ params.who }}\"}
  wait:    {kind: sleep, duration_s: 2, needs: [greet]}
  approve: {kind: approval, needs: [wait], message: \"Enough?\"}
";

#[derive(Properties, PartialEq)]
pub struct SourceDialogProps {
    /// The workflow that gets a new version; none makes a new workflow.
    #[prop_or_default]
    pub id: Option<WorkflowId>,
    /// What to begin with.
    #[prop_or_default]
    pub source: Option<String>,
    /// Closes the dialog.
    pub onclose: Callback<()>,
    /// Told what was saved.
    pub onsaved: Callback<WorkflowDetail>,
}

/// The dialog.
#[component]
pub fn SourceDialog(props: &SourceDialogProps) -> Html {
    let source = use_state(|| props.source.clone().unwrap_or_else(|| TEMPLATE.to_owned()));
    let verdict = use_state_eq(|| None::<Validation>);
    let checking = use_action();
    let saving = use_action();
    let oninput = {
        let (source, verdict) = (source.clone(), verdict.clone());
        Callback::from(move |event: InputEvent| {
            source.set(event.target_unchecked_into::<HtmlTextAreaElement>().value());
            verdict.set(None);
        })
    };
    let oncheck = {
        let (source, verdict, checking) = (source.clone(), verdict.clone(), checking.clone());
        Callback::from(move |_: MouseEvent| {
            let (text, verdict) = ((*source).clone(), verdict.clone());
            checking.run(async move { api::validate(&text).await }, move |found| {
                verdict.set(Some(found));
            });
        })
    };
    let onsubmit = {
        let (source, saving, id) = (source.clone(), saving.clone(), props.id);
        let (onsaved, verdict) = (props.onsaved.clone(), verdict.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            verdict.set(None);
            let (text, onsaved) = ((*source).clone(), onsaved.clone());
            saving.run(
                async move { api::save_workflow(id, &text).await },
                move |saved| onsaved.emit(saved),
            );
        })
    };
    let refused = saving.failure().and_then(|failure| match failure {
        Failure::Refused(problem) if !problem.faults.is_empty() => Some(problem.faults.clone()),
        _ => None,
    });
    let outcome = match (&*verdict, refused) {
        (Some(verdict), _) if verdict.valid => html! {
            <p class="note tone-good" role="status" data-testid="valid">{ icon(Icon::Check) }{ "No fault found." }</p>
        },
        (Some(verdict), _) => faults(&verdict.faults),
        (None, Some(found)) => faults(&found),
        (None, None) => action_failure(saving.failure().or(checking.failure())),
    };
    let busy = saving.busy() || checking.busy();
    let title = if props.id.is_some() {
        "New version"
    } else {
        "New workflow"
    };
    html! {
        <Dialog {title} onclose={props.onclose.clone()} wide={true}>
            <form class="form" {onsubmit}>
                <label class="field">
                    <span class="field-name">{ "Definition, YAML or JSON" }</span>
                    <textarea class="mono source" rows="20" id="workflow-source" data-testid="workflow-source" spellcheck="false"
                        value={(*source).clone()} {oninput} />
                </label>
                { outcome }
                <div class="form-foot">
                    <button type="button" id="workflow-check" data-testid="workflow-check" disabled={busy} onclick={oncheck}>{ "Check" }</button>
                    <button type="submit" class="primary" id="workflow-save" data-testid="workflow-save" disabled={busy}>{ "Save" }</button>
                </div>
            </form>
        </Dialog>
    }
}

fn faults(faults: &[Fault]) -> Html {
    let rows = faults.iter().map(|fault| {
        let path = if fault.path.is_empty() { "document" } else { &fault.path };
        html! {
            <li data-testid="fault" data-code={fault.code.clone()}><code>{ path.to_owned() }</code><span>{ &fault.message }</span></li>
        }
    });
    html! {
        <div class="note tone-bad faults" role="alert">
            { icon(Icon::Cross) }
            <ul>{ for rows }</ul>
        </div>
    }
}
