//! Hive's own libraries, live (`./dev soak`): `hive-tx` and `@hiveio/dhive` sign, a real node believes them. Their recorded
//! signatures are in `protocols/tests/auth.rs`, which always runs.

use honeygraph_testnet::process::Launch;
use serde_json::{Value, json};
use std::process::Command;

/// Where `npm install hive-tx @hiveio/dhive ws` was run.
const NPM: &str = "HONEYGRAPH_TEST_NPM";

#[test]
#[ignore = "needs node and npm packages: HONEYGRAPH_TEST_NPM names the folder with node_modules"]
fn hives_own_libraries_get_in_and_a_tampered_answer_does_not() {
    let Ok(npm) = std::env::var(NPM) else {
        eprintln!("skipped: {NPM} is not set (npm install hive-tx @hiveio/dhive ws, in any folder)");
        return;
    };
    let vectors: Value = serde_json::from_str(include_str!("../protocols/fixtures/auth_signatures.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (keys, config) = (folder.path().join("accounts.json"), folder.path().join("honeygraph.toml"));
    std::fs::write(&keys, json!({"test-node": {"active": [vectors["publicKey"]]}}).to_string()).unwrap();
    std::fs::write(&config, "[accounts.test-node]\nscopes = [\"admin\"]").unwrap();
    let node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path().join("data"))
        .env("REQUIRE_HIVE_AUTH", "true")
        .env("HONEYGRAPH_ACCOUNT_KEYS", keys.to_str().unwrap())
        .env("HONEYGRAPH_CONFIG", config.to_str().unwrap())
        .start()
        .unwrap();
    for library in ["hive-tx", "dhive"] {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hive/client.mjs");
        let wif = vectors["wif"].as_str().unwrap();
        let args = [script, library, &node.endpoints.feed, &node.endpoints.api, "test-node", wif];
        let output = Command::new("node").args(args).env(NPM, &npm).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{library}: {output:?}"));
        let expected = json!({
            "tampered": "Invalid signature", "account": "test-node", "welcome": "test-node", "orders": [200, 401, 401]
        });
        assert_eq!(said, expected, "{library}");
    }
}
