//! Which history is it: lanes, batches, periods, forks, verdicts.
//!
//! [`machine::Core`] is the network's one decider; `lane` cuts a feed's stream, `book` keeps what has no place yet,
//! `tree` what has one, `settle` moves batches from the one to the other, `questions` and `answers` fill holes, `supply`
//! takes what no feed brought, `meet` and `reopen` put the lanes behind it, `choose` picks the head (`heads`: what trusted peers call theirs), `verdicts` are the operator's.
//!
//! *Always holds:* pure decisions; the only state that survives is the [`ledger`], and only records change it.

pub mod admin;
mod answers;
pub mod audit;
mod book;
pub mod choose;
pub mod found;
pub mod heads;
mod holes;
pub mod lane;
pub mod ledger;
pub mod machine;
mod meet;
mod plan;
pub mod proofs;
mod proving;
mod questions;
mod recognise;
pub mod record;
mod reopen;
mod report;
mod resume;
pub mod rules;
mod runs;
mod second;
mod settle;
pub mod snapshot;
pub mod status;
pub mod supply;
pub mod tree;
mod verdicts;
mod wanted;

#[cfg(test)]
mod tests;
