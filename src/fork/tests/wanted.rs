//! Which documents are asked for.

use super::*;

/// Hash, label, and what is wanted when that did not help.
fn wanted(stage: &Stage) -> Vec<(String, Option<u64>, Option<String>)> {
    let wanted = stage.core.status().wanted.into_iter();
    wanted.map(|wanted| (wanted.hash.to_string(), wanted.label, wanted.then.map(|hash| hash.to_string()))).collect()
}

/// Nothing is known of what lies before a lane's first period: the document of the period before it leads on. The waiting
/// period's own document is named beside it, once its hash is known: by its content the lane may be known again.
#[test]
fn a_lane_without_a_predecessor_wants_the_period_before_it_and_then_its_own() {
    let mut stage = begun();
    assert_eq!(wanted(&stage), [], "nothing is missing");
    stage.gone(1);
    stage.open(2, Some(0));
    stage.bare(2, "901:D 0 h=D; 1 W; 2 x=1; 3 W");
    assert_eq!(wanted(&stage), [("D".to_owned(), Some(901), None)], "its own is not closed yet");
    stage.bare(2, "1001:E 0 h=E; 1 W; 2 y=1; 3 W");
    assert_eq!(wanted(&stage), [("D".to_owned(), Some(901), Some("E".to_owned()))]);
    // The next periods are behind it: they want nothing of their own.
    stage.bare(2, "1101:F 0 h=F; 1 W");
    assert_eq!(wanted(&stage), [("D".to_owned(), Some(901), Some("E".to_owned()))]);
}

/// A hole inside a period that has its place wants that period's document alone.
#[test]
fn a_hole_in_a_placed_period_wants_no_other_document() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W; 8 e=1; 9 W; 0 h=B; 1 W");
    assert_eq!(wanted(&stage), [], "its feed is asked first");
    for _ in 0..4 {
        stage.tick(10_000);
    }
    assert_eq!(wanted(&stage), [("B".to_owned(), Some(701), None)]);
}
