//! The journal is durable before the state: no record is applied, committed or not, that a crash could take back.

use super::{Broken, Look};
use honeygraph::projection::state::check;

const RULE: &str = "durable_first";

/// At any time.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    let durable = *look.running.journal.durable().borrow();
    let applied = look.running.state.cursor();
    if applied > durable {
        return Err(Broken::new(RULE, format!("applied {applied}, durable {durable}")));
    }
    let snapshot = look.running.state.reader().snapshot();
    check::journal_first(&snapshot, durable).map_err(|broken| Broken::new(RULE, broken.to_string()))
}
