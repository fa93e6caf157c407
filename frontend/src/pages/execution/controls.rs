//! Pause, resume, cancel.

use limelight_protocol::{Execution, ExecutionId, ExecutionStatus, auth::Role};
use yew::prelude::*;

use crate::{
    api::{self, Control},
    components::{
        dialog::Dialog,
        icon::{Icon, icon},
        panel::action_failure,
    },
    hooks::use_action,
    session::use_may,
};

#[derive(Properties, PartialEq)]
pub struct ControlsProps {
    /// Of what.
    pub id: ExecutionId,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Told how it stands afterwards.
    pub ondone: Callback<Execution>,
}

/// The buttons that fit the status.
#[component]
pub fn Controls(props: &ControlsProps) -> Html {
    let action = use_action();
    let asking = use_state_eq(|| false);
    if !use_may(Role::Operator) || props.status.is_terminal() {
        return Html::default();
    }
    let act = |control: Control| {
        let (action, ondone, id) = (action.clone(), props.ondone.clone(), props.id);
        Callback::from(move |_: MouseEvent| {
            let (control, ondone) = (control.clone(), ondone.clone());
            action.run(
                async move { api::control(id, &control).await },
                move |execution| ondone.emit(execution),
            );
        })
    };
    let ask = |open: bool| {
        let asking = asking.clone();
        Callback::from(move |()| asking.set(open))
    };
    let confirm = {
        let (cancel, asking) = (act(Control::Cancel), asking.clone());
        Callback::from(move |event: MouseEvent| {
            asking.set(false);
            cancel.emit(event);
        })
    };
    let busy = action.busy();
    html! {
        <div class="actions">
            { action_failure(action.failure()) }
            if props.status == ExecutionStatus::Paused {
                <button type="button" class="primary" id="btn-resume" data-testid="btn-resume" disabled={busy} onclick={act(Control::Resume)}>{ icon(Icon::Play) }{ "Resume" }</button>
            } else {
                <button type="button" id="btn-pause" data-testid="btn-pause" disabled={busy} onclick={act(Control::Pause)}>{ icon(Icon::Pause) }{ "Pause" }</button>
            }
            <button type="button" class="danger" id="btn-cancel" data-testid="btn-cancel" disabled={busy} onclick={ask(true).reform(|_: MouseEvent| ())}>{ icon(Icon::Stop) }{ "Cancel" }</button>
            if *asking {
                <Dialog title="Cancel this execution?" onclose={ask(false)}>
                    <p>{ "Running nodes are stopped, and no other starts. This cannot be undone." }</p>
                    <div class="form-foot">
                        <button type="button" id="btn-keep" data-testid="btn-keep" onclick={ask(false).reform(|_: MouseEvent| ())}>{ "Keep it running" }</button>
                        <button type="button" class="danger" id="btn-cancel-confirm" data-testid="btn-cancel-confirm" onclick={confirm}>{ "Cancel the execution" }</button>
                    </div>
                </Dialog>
            }
        </div>
    }
}
