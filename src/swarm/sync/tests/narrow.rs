//! A line that carries less than a whole window in the time of a question.

use super::*;

/// Time that the line needs for one answer, ms: fewer come in [`ASK_MS`] than the window has.
const EACH_MS: f64 = 400.0;
const STEP_MS: u64 = 50;

/// Found under load: every question took longer than it may, each was asked again, and nothing ever came.
#[test]
fn a_line_too_narrow_for_the_window_carries_all_of_it() {
    let periods = WINDOW as u64 * 2;
    let history = History::new(NETWORK, Size { periods, batches: 1, ops: 1 }, 1);
    let mut rig = Rig::new(Held::default()).with(40, &history);
    rig.anchor(history.newest());
    let (mut out, mut labels) = (BTreeMap::<AskId, (Request, f64)>::new(), Vec::new());
    let ends = rig.now + 2 * periods * EACH_MS as u64;
    while labels.len() < periods as usize {
        assert!(rig.now < ends, "{} of {periods}: {:?}", labels.len(), rig.planner.progress(rig.now));
        while let Some((id, _, request)) = rig.request() {
            let is_body = matches!(request, Request::Batches(_));
            out.insert(id, (request, if is_body { 0.0 } else { 1.0 }));
        }
        // What was given up is carried no further; all that is out shares the line.
        out.retain(|id, _| rig.planner.asks.contains_key(id));
        let share = STEP_MS as f64 / EACH_MS / out.len().max(1) as f64;
        out.values_mut().for_each(|(_, came)| *came += share);
        let came: Vec<AskId> = out.iter().filter(|(_, (_, came))| *came >= 1.0).map(|(id, _)| *id).collect();
        for id in came {
            let (request, _) = out.remove(&id).unwrap();
            rig.answer(id, history.answer(&request));
        }
        while let Some(supply) = rig.supply() {
            labels.push(supply.label.unwrap().get());
            rig.taken(&supply);
        }
        rig.passes(STEP_MS);
    }
    rig.expect_no_penalty();
}
