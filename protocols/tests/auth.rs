//! Signatures of Hive's own libraries (`vectors/auth_signatures.json`, whole): who signed, and what it proves.

use honeygraph_protocols::auth::{Account, Authority, Challenge, Said, compact, read, request_text};
use honeygraph_protocols::json;
use honeygraph_protocols::swarm::keys::{HiveKey, HiveSignature};
use serde_json::{Value, json};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../fixtures/auth_signatures.json")).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// Guards against: the recovery id is left out of account.
#[test]
fn what_hives_libraries_take_and_refuse_so_do_we() {
    let vectors = vectors();
    for case in vectors["cases"].as_array().unwrap() {
        let (note, message) = (text(case, "note"), text(case, "message").as_bytes());
        let signature: HiveSignature = text(case, "signature").parse().unwrap();
        let key: HiveKey = text(case, "publicKey").parse().unwrap();
        assert_eq!(signature.signer(message).unwrap().to_string(), text(case, "recoveredKey"), "{note}");
        let alone = Authority::new(1, vec![(key, 1)]).unwrap();
        assert_eq!(json!(alone.signed(message, &[signature])), case["verifyHiveTx"], "{note}");
        assert_eq!(case["verifyHiveTx"], case["verifyDhive"], "{note}");
        assert!(!alone.signed(&[message, b" "].concat(), &[signature]), "{note}: altered");
        if let Some(other) = case["signatureDhive"].as_str() {
            assert_eq!(other, signature.to_string(), "{note}");
        }
    }
}

#[test]
fn the_recorded_answer_answers_its_challenge() {
    let vectors = vectors();
    let its = &vectors["challenge"];
    let challenge = Challenge {
        timestamp: its["timestamp"].as_u64().unwrap(),
        nonce: text(its, "nonce").into(),
        node_id: text(its, "nodeId").into(),
    };
    let case = &vectors["cases"][0];
    let frame = json!({"type": "auth_response", "account": "test-node", "signature": case["signature"], "message": case["message"]});
    let Said::Response(response) = read(frame.to_string().as_bytes()) else { panic!("an answer") };
    assert_eq!(response.answers(&challenge), Ok(()));
    assert!(response.answers(&Challenge { nonce: "another".into(), ..challenge }).is_err());
}

#[test]
fn the_text_of_a_request_is_the_one_that_is_signed() {
    let case = &vectors()["cases"][2];
    let body = compact("{ \"blockNum\" : 1 }\n").unwrap();
    assert_eq!(request_text("POST", "/block", 1_699_123_457_000, &body, "test-node"), text(case, "message"));
    assert_eq!(compact(r#"{"a \" b": " c\\", "d":[1, 2]}"#).unwrap(), r#"{"a \" b":" c\\","d":[1,2]}"#);
    assert_eq!((compact("{"), compact("{} x")), (None, None));
}

/// Guards against: a key counts as often as it stands in the list; a threshold of 0 is met by nobody's signature.
#[test]
fn an_authority_is_met_by_weight() {
    let case = &vectors()["cases"][0];
    let (message, signature) = (text(case, "message").as_bytes(), text(case, "signature").parse().unwrap());
    let key = text(case, "publicKey");
    let other = text(&vectors()["cases"][1], "recoveredKey").to_owned();
    let authority = |text: &str| Authority::from_json(&json::parse(text.as_bytes()).unwrap());
    let weights = |threshold: u64, own: u64| {
        authority(&format!(
            r#"{{"weight_threshold":{threshold},"account_auths":[["x",9]],"key_auths":[["{key}",{own}],["{other}",5]]}}"#
        ))
    };
    for (threshold, own, met) in [(1, 1, true), (2, 1, false), (5, 4, false), (5, 5, true)] {
        assert_eq!(weights(threshold, own).unwrap().signed(message, &[signature, signature]), met, "{threshold} {own}");
    }
    let twice = format!(r#"{{"weight_threshold":2,"key_auths":[["{key}",1],["{key}",1]]}}"#);
    assert!(!authority(&twice).unwrap().signed(message, &[signature]));
    assert!(authority(&format!(r#"["{key}"]"#)).unwrap().signed(message, &[signature]));
    assert!(authority(&format!(r#""{key}""#)).unwrap().signed(message, &[signature]));
    for nothing in [
        "[]",
        "{}",
        r#"["STM"]"#,
        &format!(r#"{{"weight_threshold":0,"key_auths":[["{key}",1]]}}"#),
        &format!(r#"{{"weight_threshold":2,"key_auths":[["{key}",1]]}}"#),
    ] {
        assert!(authority(nothing).is_none(), "{nothing}");
    }
    assert!(weights(1, 1).is_some() && weights(1 << 60, 1).is_none());
}

#[test]
fn names_of_accounts() {
    assert_eq!(Account::new("Test-Node").unwrap().as_str(), "test-node");
    for wrong in ["", "ab", "seventeen-letters", "a b", "a/b", "ünder"] {
        assert!(Account::new(wrong).is_none(), "{wrong}");
    }
}
