//! The recorded sessions of the old handlers, with our differences beside them.

use crate::speaking::{Client, Server, limits};
use serde_json::Value;

const FILES: [&str; 2] =
    [include_str!("../fixtures/sessions/fork_handler.json"), include_str!("../fixtures/sessions/adapter.json")];

/// The cases of a server that asks who is there.
pub fn guarded_cases() -> Vec<(String, Value)> {
    let cases: Vec<_> = every_case().into_iter().filter(|(_, case)| guarded(case)).collect();
    assert_eq!(cases.len(), 2);
    cases
}

fn guarded(case: &Value) -> bool {
    case["guarded"] == true
}

/// The cases of a server that does not ask, with the endpoint each is played at.
pub fn cases() -> Vec<(String, Value)> {
    let cases: Vec<_> = every_case().into_iter().filter(|(_, case)| !guarded(case)).collect();
    assert!(cases.len() >= 17, "{}", cases.len());
    cases
}

fn every_case() -> Vec<(String, Value)> {
    let mut cases = Vec::new();
    for file in FILES {
        let file: Value = serde_json::from_str(file).unwrap();
        let path = file["path"].as_str().unwrap();
        let playable = file["cases"].as_array().unwrap().iter().filter(|case| case.get("skip").is_none());
        cases.extend(playable.map(|case| (path.to_string(), case.clone())));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_sessions_are_answered_as_recorded_or_as_we_say() {
    for (path, case) in cases() {
        let server = Server::start(limits()).await;
        let mut client = server.connect(&path).await;
        play(&mut client, &case, true).await;
    }
}

/// Plays a case. Whether anything more is said shows an answer that comes behind it: to whom has been let in.
pub async fn play(client: &mut Client, case: &Value, inside: bool) {
    let note = &case["note"];
    let mut optional = Vec::new();
    for step in case["steps"].as_array().unwrap() {
        match &step["send"] {
            Value::Null => {}
            Value::String(raw) => client.send_text(raw.strip_prefix("raw:").unwrap()).await,
            message => client.send(message).await,
        }
        optional.extend(step["may"].as_array().into_iter().flatten().cloned());
        let expected = step.get("ours").unwrap_or(&step["replies"]);
        for expected in expected.as_array().unwrap() {
            let mut said = client.hear().await;
            while optional.contains(&said) {
                said = client.hear().await;
            }
            assert!(matches(expected, &said), "{note}: expected {expected}, was told {said}");
        }
    }
    if !inside {
        client.send(&serde_json::json!({})).await;
        assert_eq!(client.hear().await["error"], "Authentication required", "{note}");
        return;
    }
    let rest: Vec<Value> = client.barrier().await.into_iter().filter(|said| !optional.contains(said)).collect();
    assert!(rest.is_empty(), "{note}: not expected: {rest:?}");
}

/// Whether a reply has exactly the members expected, placeholders standing for any value.
fn matches(expected: &Value, said: &Value) -> bool {
    let (Value::Object(expected), Value::Object(said)) = (expected, said) else { return false };
    expected.len() == said.len()
        && expected.iter().all(|(key, value)| match value.as_str() {
            Some("<now>") => said.get(key).is_some_and(Value::is_u64),
            Some(text) if text.starts_with('<') => said.get(key).is_some_and(Value::is_string),
            None if value.is_object() => said.get(key).is_some_and(|said| matches(value, said)),
            _ => said.get(key) == Some(value),
        })
}
