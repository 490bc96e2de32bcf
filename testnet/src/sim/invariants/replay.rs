//! The journal is the only truth: what it holds after a start is a beginning of what the machine decided, whole up to
//! what was ever called durable, and its records alone give the ledger that the start used (which may have come from a
//! snapshot).

use super::{Broken, Look};
use honeygraph::fork::ledger::Ledger;
use honeygraph::fork::record::Lsn;

const RULE: &str = "replay";

/// Right after a start. The log still holds what was decided before.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    let last = look.running.started_with.lsn;
    if last < look.node.acknowledged {
        let what = format!("record {} was durable, the journal ends at {last}", look.node.acknowledged);
        return Err(Broken::new(RULE, what));
    }
    let mut ledger = Ledger::default();
    let mut cursor = look.running.reader.records(1);
    for (lsn, (decided, body)) in (1..=last).zip(&look.node.log) {
        let wrong = |what: &str| Broken::new(RULE, format!("record {lsn} {what}"));
        let entry = cursor.read().map_err(|error| wrong(&error.to_string()))?.ok_or_else(|| wrong("is not there"))?;
        let record = entry.record().map_err(|error| wrong(&error.to_string()))?;
        let found = entry.frame.map(|frame| frame.unpack().unwrap_or_default()).unwrap_or_default();
        if record != *decided || found != body.as_deref().unwrap_or_default() {
            return Err(wrong("is not what was decided"));
        }
        ledger.apply(lsn as Lsn, &record);
    }
    if ledger.lsn != last || ledger != look.running.started_with {
        return Err(Broken::new(RULE, format!("the records up to {last} give another ledger")));
    }
    Ok(())
}
