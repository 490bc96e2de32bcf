//! How fast frames are read, and op texts taken apart: `parse_speed <file with one frame per line>`. One core.

use honeygraph_protocols::honeycomb::{Frame, Parser, What};
use honeygraph_protocols::op::{self, EffectReader, Op};
use std::time::{Duration, Instant};

/// Long enough for the caches to be warm and the clock to be exact.
const MEASURE_FOR: Duration = Duration::from_secs(2);

fn main() {
    let file = std::env::args().nth(1).expect("a file with one frame per line");
    let text = std::fs::read(file).expect("readable");
    let frames: Vec<&[u8]> = text.split(|&b| b == b'\n').filter(|f| !f.is_empty()).collect();
    let mut parser = Parser::new(false);
    let mut body = Vec::new();
    per_second("frames to canonical texts", || {
        body.clear();
        let mut ops = 0;
        for frame in &frames {
            let Ok(Frame::Ops(frame)) = parser.parse(frame) else { continue };
            ops += frame.items.iter().filter(|item| matches!(item.what, What::Op { .. })).count();
            body.extend_from_slice(&frame.texts);
        }
        ops
    });
    let mut leaves = 0_u64;
    let mut effects = EffectReader::default();
    per_second("texts to leaves", || {
        op::texts(&body).map(|text| effects.read(text.expect("whole"), |_| leaves += 1).expect("canonical")).count()
    });
    per_second("texts checked", || {
        op::texts(&body).filter(|text| Op::parse_text(text.expect("whole")).is_ok()).count()
    });
    println!("{} bytes of frames, {} of texts, {leaves} leaves", text.len(), body.len());
}

/// Repeats `round`, which returns how many ops it handled.
fn per_second(what: &str, mut round: impl FnMut() -> usize) {
    let (mut ops, start) = (0, Instant::now());
    while start.elapsed() < MEASURE_FOR {
        ops += round();
    }
    println!("{what}: {:.0} ops/s", ops as f64 / start.elapsed().as_secs_f64());
}
