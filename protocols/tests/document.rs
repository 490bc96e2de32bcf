//! Checkpoint documents: golden bytes and CIDs, streaming, shapes that make no claim.

use honeygraph_protocols::document::{CidV0, Delta, DeltaOp, DocumentError, Link, RootWriter, cid_v0, root_bytes};
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::path::{self, Segment};
use proptest::prelude::*;

fn cases(fixture: &[u8]) -> Vec<Json> {
    let fixture = json::parse(fixture).unwrap();
    let Some(Json::Array(cases)) = fixture.get("cases") else { panic!("cases") };
    cases.clone()
}

fn text(json: Option<&Json>) -> Option<&str> {
    match json? {
        Json::Text(text) => text.as_str(),
        _ => None,
    }
}

#[test]
fn cids_are_those_of_ipfs_add() {
    for case in cases(include_bytes!("../fixtures/cid.json")) {
        let content = match case.get("generated") {
            Some(Json::Int(n)) => (0..*n as usize).map(|i| ((i * 31 + (i >> 8)) & 255) as u8).collect(),
            _ => text(case.get("content")).unwrap().as_bytes().to_vec(),
        };
        assert_eq!(Some(cid_v0(&content).as_str()), text(case.get("cid")), "{:?}", case.get("note"));
    }
}

#[test]
fn pieces_do_not_change_a_cid() {
    let content: Vec<u8> = (0..700_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
    for size in [1000, 65_536, 262_144, 262_145, 700_000] {
        let mut cid = CidV0::default();
        content.chunks(size).for_each(|piece| cid.push(piece));
        assert_eq!(cid.finish(), cid_v0(&content), "{size}");
    }
}

fn delta() -> Delta {
    Delta {
        number: 97643702,
        chain: vec![Link { hash: "QmA".into(), hive_block: 97643601 }],
        ops: vec![DeltaOp::Text(br#"{"data":5,"path":["balances","alice"],"type":"put"}"#.to_vec()), DeltaOp::Marker],
        prev_root: "QmPrev".into(),
        root: "QmRoot".into(),
    }
}

#[test]
fn a_delta_is_the_golden_document() {
    let golden = cases(include_bytes!("../fixtures/cid.json"));
    let golden = golden.iter().find(|c| text(c.get("note")).unwrap().starts_with("delta")).unwrap();
    let bytes = delta().to_bytes();
    assert_eq!(std::str::from_utf8(&bytes).ok(), text(golden.get("content")));
    assert_eq!(Delta::parse(&bytes), Ok(delta()));
}

#[test]
fn deltas_of_other_shapes_are_refused() {
    let good = String::from_utf8(delta().to_bytes()).unwrap();
    for (from, to, error) in [
        ("97643702", "-1", "no number"),
        ("\"QmRoot\"", "null", "no root"),
        ("\"QmPrev\"", "{}", "no prev_root"),
        ("\"QmA\"", "5", "bad link in chain"),
        ("\"W\"", "[]", "bad entry in ops"),
        ("\"ops\"", "\"opz\"", "no ops"),
        ("97643702,", "", "not a pair"),
    ] {
        assert_eq!(Delta::parse(good.replace(from, to).as_bytes()), Err(DocumentError::Shape(error)), "{from}");
    }
    assert!(matches!(Delta::parse(b"[1,"), Err(DocumentError::Json(_))));
}

fn leaf(json: &Json) -> (Vec<u8>, Vec<u8>) {
    let Json::Array(pair) = json else { panic!("leaf") };
    let Json::Array(segments) = &pair[0] else { panic!("path") };
    let path: Vec<_> = segments.iter().map(|s| Segment::from_json(s.clone()).unwrap()).collect();
    (path::encode(&path), pair[1].to_canonical())
}

#[test]
fn roots_are_those_of_honeycomb() {
    for case in cases(include_bytes!("../fixtures/root.json")) {
        let Some(Json::Array(leaves)) = case.get("leaves") else { panic!("leaves") };
        let got = root_bytes(97643702, leaves.iter().map(leaf));
        let shown = got.as_ref().ok().map(|bytes| std::str::from_utf8(bytes).unwrap());
        assert_eq!(shown, text(case.get("out")), "{:?} {got:?}", case.get("note"));
    }
}

/// Found by the fuzz target `leaves`: the leaf at `"5"` was taken to stand above the last one, but what is below `5` is
/// there already and stays, as in the golden case with two of these leaves.
#[test]
fn a_leaf_that_is_not_put_down_is_above_nothing() {
    let leaves = |text: &str| match json::parse(text.as_bytes()) {
        Ok(Json::Array(leaves)) => root_bytes(7, leaves.iter().map(leaf)),
        other => panic!("{other:?}"),
    };
    let stays = leaves(r#"[[["t",5,"a"],1],[["t","5"],2],[["t","5","a"],3],[["t","5","b"],4]]"#).unwrap();
    assert_eq!(String::from_utf8_lossy(&stays), r#"[7,{"t":{"5":{"a":1,"b":4}}}]"#);
    assert!(leaves(r#"[[["t",4,"a"],1],[["t","5"],2],[["t","5","a"],3]]"#).is_err(), "put down, then gone below");
    assert!(leaves(r#"[[["t",5,"a"],1],[["t","5"],2],[["t","5","a","b"],3]]"#).is_err(), "below what stayed");
}

#[test]
fn damaged_maps_are_refused() {
    let a = path::encode(&["a".into()]);
    let b = path::encode(&["b".into()]);
    let write = |leaves: &[&[u8]]| root_bytes(1, leaves.iter().map(|p| (p, b"1"))).is_err();
    assert!(write(&[&b, &a]) && write(&[&a, &a]) && write(&[b""]) && write(&[b"x"]));
}

proptest! {
    /// Plain keys: the document is the canonical text of the nested object, whatever is streamed.
    #[test]
    fn plain_roots_are_canonical_json(map in prop::collection::btree_map("[a-zé]{0,2}", prop::collection::btree_map("[a-z\u{1}]{1,2}", -9i64..9, 1..4), 0..6)) {
        let mut leaves = Vec::new();
        let mut object = Vec::new();
        for (table, row) in &map {
            for (key, value) in row {
                leaves.push((path::encode(&[table.as_str().into(), key.as_str().into()]), value.to_string()));
            }
            let row = row.iter().map(|(k, v)| (k.as_str().into(), Json::Int(*v))).collect();
            object.push((table.as_str().into(), Json::object(row)));
        }
        leaves.sort();
        let document = Json::Array(vec![Json::Int(7), Json::object(object)]).to_canonical();
        prop_assert_eq!(root_bytes(7, leaves).unwrap(), document);
    }

    #[test]
    fn any_leaves_give_json_or_no_claim(mut leaves in prop::collection::btree_map(prop::collection::vec(0..6usize, 1..4), 0..4i32, 0..12)) {
        let segment = |i: &usize| [Segment::from("a"), 5.into(), "5".into(), "\u{e000}".into(), "😀".into(), "".into()][*i].clone();
        let mut encoded: Vec<_> = std::mem::take(&mut leaves).into_iter()
            .map(|(p, v)| (path::encode(&p.iter().map(segment).collect::<Vec<_>>()), v.to_string())).collect();
        encoded.sort();
        let mut bytes = Vec::new();
        let mut writer = RootWriter::new(1, |piece: &[u8]| bytes.extend_from_slice(piece));
        if encoded.iter().try_for_each(|(p, v)| writer.leaf(p, v.as_bytes())).is_ok() && writer.finish().is_ok() {
            let parsed = json::parse(&bytes).unwrap();
            prop_assert_eq!(parsed.to_canonical(), bytes);
        }
    }
}
