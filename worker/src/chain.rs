//! Chains in a worker's hands: begun ([`start`]), their steps made ready to run ([`step`]), fanned out
//! ([`expand`]), their ends told ([`end`], [`webhook`]).

mod end;
mod expand;
mod scope;
mod spawn;
mod start;
mod step;
mod webhook;

pub(crate) use self::{
    end::{StepResult, step_result},
    spawn::children,
    start::start,
    step::{inherit, prepare},
    webhook::tell,
};
