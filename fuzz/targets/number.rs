//! Numbers: tokens, doubles, and the text that JavaScript prints.
//!
//! Input: a token, and (its first eight bytes) a double.
//!
//! Holds: a token is the double nearest to it; a number prints as another implementation of ECMAScript prints it, and
//! reads back equal; integers below 2^53 are kept as such; nothing is infinite; encoded, numbers order as they should.
//!
//! Planted once: 1e-7 printed as 0.0000001.
#![no_main]

use honeygraph_protocols::json::{self, Json, JsonError, Number};
use honeygraph_protocols::path::Segment;
use honeygraph_protocols::path::{decode_segment, encode_number};
use libfuzzer_sys::fuzz_target;
use std::ops::Not;

fuzz_target!(|data: &[u8]| {
    if let Some(bits) = data.first_chunk() {
        let double = f64::from_bits(u64::from_be_bytes(*bits));
        match Number::from_f64(double) {
            Some(number) => number_holds(number, double),
            None => assert!(!double.is_finite()),
        }
    }
    let Ok(token) = std::str::from_utf8(data) else { return };
    let double = || token.trim().parse::<f64>().expect("a number of JSON is one of Rust");
    match json::parse(data) {
        Ok(Json::Int(int)) => number_holds(Number::Int(int), double()),
        Ok(Json::Float(float)) => number_holds(Number::Float(float), double()),
        // More may follow a number that is too large; it is not looked at.
        Err(JsonError::Overflow { at: 0 }) => assert!(token.trim().parse::<f64>().is_ok_and(f64::is_finite).not()),
        _ => {}
    }
});

fn number_holds(number: Number, double: f64) {
    assert_eq!(number.to_f64(), double);
    let whole = double.fract() == 0.0 && double.abs() < 2_f64.powi(53);
    assert_eq!(matches!(number, Number::Int(_)), whole);
    let mut text = Vec::new();
    number.write(&mut text);
    assert_eq!(String::from_utf8_lossy(&text), ryu_js::Buffer::new().format(double));
    let value = Segment::Number(number).to_json();
    assert_eq!(json::parse(&text), Ok(value));
    let (mut encoded, mut zero) = (Vec::new(), Vec::new());
    encode_number(number, &mut encoded);
    encode_number(Number::Int(0), &mut zero);
    assert_eq!(decode_segment(&encoded), Some((Segment::Number(number), encoded.len())));
    assert_eq!(Some(encoded.cmp(&zero)), double.partial_cmp(&0.0), "its place among the others");
}
