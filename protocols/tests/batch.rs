//! Batch headers and ids: golden bytes, and what must not be taken for an id.

use honeygraph_protocols::batch::{BatchId, Header, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    note: String,
    network: String,
    period: String,
    seq: u64,
    /// Id of the batch before; none for a period's first.
    parent: Option<String>,
    ops: Vec<String>,
    header_hex: String,
    id: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn header(case: &Case) -> Header {
    let period = HashText::new(&case.period).unwrap();
    let mut body = Vec::new();
    case.ops.iter().for_each(|text| op::push_text(text.as_bytes(), &mut body));
    Header {
        v: Header::VERSION,
        network: case.network.clone(),
        parent: match &case.parent {
            Some(id) => Parent::Batch(id.parse().unwrap()),
            None => Parent::Period(period.clone()),
        },
        period,
        seq: case.seq,
        count: case.ops.len() as u64,
        ops_hash: *blake3::hash(&body).as_bytes(),
    }
}

#[test]
fn headers_and_ids_are_golden() {
    let fixture: Fixture = serde_json::from_slice(include_bytes!("../fixtures/batch.json")).unwrap();
    for case in &fixture.cases {
        let header = header(case);
        assert_eq!(hex(&header.to_bytes()), case.header_hex, "{}", case.note);
        assert_eq!(header.id().to_string(), case.id, "{}", case.note);
        assert_eq!(case.id.parse(), Ok(header.id()));
        let back: Header = serde_ipld_dagcbor::from_slice(&header.to_bytes()).unwrap();
        assert_eq!(back, header);
    }
    let chained = fixture.cases.iter().filter_map(|c| c.parent.as_ref());
    assert!(chained.clone().count() > 0 && chained.into_iter().all(|p| fixture.cases.iter().any(|c| c.id == *p)));
}

#[test]
fn every_member_counts() {
    let base = Header {
        v: 1,
        network: "spkcc_".into(),
        period: HashText::new("QmA").unwrap(),
        seq: 3,
        parent: Parent::Period(HashText::new("QmA").unwrap()),
        count: 2,
        ops_hash: [7; 32],
    };
    let others = [
        Header { v: 2, ..base.clone() },
        Header { network: "spkccT_".into(), ..base.clone() },
        Header { period: HashText::new("QmB").unwrap(), ..base.clone() },
        Header { seq: 4, ..base.clone() },
        Header { parent: Parent::Batch(base.id()), ..base.clone() },
        Header { count: 3, ..base.clone() },
        Header { ops_hash: [8; 32], ..base.clone() },
    ];
    assert!(others.iter().all(|other| other.id() != base.id()));
}

#[test]
fn other_cids_are_no_batch_ids() {
    for text in [
        "",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
        "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
    ] {
        assert!(text.parse::<BatchId>().is_err(), "{text}");
    }
}
