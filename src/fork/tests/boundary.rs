//! The boundary rule of the seeds, on their own cases (`fixtures/checkpoint_boundary.json`).

use super::*;
use crate::fork::record::Boundary;
use serde_json::Value;

fn verdict(case: &Value) -> Boundary {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.frame(1, r#"{"type":"fork_start","forkHash":"A","blockNum":12339,"timestamp":5}"#);
    for (index, op) in case["operations"].as_array().unwrap().iter().enumerate() {
        let mut op = op.clone();
        op["index"] = index.into();
        op["forkHash"] = "A".into();
        stage.frame(1, &op.to_string());
    }
    let block = &case["checkpointBlock"];
    stage.frame(
        1,
        &format!(r#"{{"type":"sendCheckpoint","blockNum":{block},"hash":"B","prevHash":"A","timestamp":5}}"#),
    );
    let checkpoints = stage.status().checkpoints;
    assert_eq!(checkpoints.len(), 1);
    stage.frame(1, r#"{"type":"put","path":["z"],"data":1,"index":0,"blockNum":12345,"forkHash":"B"}"#);
    stage.frame(1, r#"{"type":"write_marker","index":1,"blockNum":12345,"forkHash":"B"}"#);
    assert_eq!(stage.status().head.unwrap().period.as_str(), "B", "the stream goes on: {case}");
    checkpoints[0].boundary.clone()
}

#[test]
fn the_cases_of_the_seeds() {
    let fixture: Value = serde_json::from_str(include_str!("../fixtures/checkpoint_boundary.json")).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() >= 5);
    for case in cases {
        let valid = verdict(case) == Boundary::Valid;
        assert_eq!(valid, case["valid"].as_bool().unwrap(), "{case}: {:?}", verdict(case));
    }
}

#[test]
fn each_reason_has_its_word() {
    let case =
        |ops: &str| serde_json::from_str(&format!(r#"{{"checkpointBlock":12345,"operations":[{ops}]}}"#)).unwrap();
    let (put, marker) =
        (r#"{"type":"put","blockNum":12344,"path":["a"],"data":1}"#, r#"{"type":"write_marker","blockNum":12344}"#);
    let late = r#"{"type":"write_marker","blockNum":12343}"#;
    let invalid = |word: &str| Boundary::Invalid(word.into());
    assert_eq!(verdict(&case(put)), invalid("missing_write_marker"));
    assert_eq!(verdict(&case(&format!("{marker},{put}"))), invalid("invalid_boundary"));
    assert_eq!(verdict(&case(&format!("{put},{late}"))), invalid("write_marker_block_mismatch"));
    assert_eq!(verdict(&case(&format!("{put},{marker}"))), Boundary::Valid);
}

#[test]
fn in_honeycomb_numbering_the_boundary_is_open() {
    let mut stage = begun();
    stage.checkpoint(1, 701, "B");
    assert_eq!(stage.status().checkpoints[0].boundary, Boundary::Open);
}
