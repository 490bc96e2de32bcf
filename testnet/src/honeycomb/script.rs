//! What honeycomb writes at a block: a realistic mix, the tally, the daily accounting.
//!
//! *Always holds:* a block's steps are a function of (content seed, block, opening hash of its period); no path is both
//! a truthy leaf and a parent, so that every state has a root.

use super::config::Config;
use super::dice::Dice;
use super::fault::Fault;
use super::op::Op;
use serde_json::{Value, json};

/// Ops of one writer's batch at most.
const WRITER_OPS: u64 = 10;
/// Accounts whose nodes are tallied.
const RUNNERS: u64 = 8;
/// Accounts paid at the daily accounting.
const DAILY_PAYMENTS: u64 = 60;
/// Blocks until a scheduled op is due.
const CHRONO_BLOCKS: u64 = 7;
/// Blocks a contract lives.
const CONTRACT_BLOCKS: u64 = 12;
/// Blocks a feed line lives.
const FEED_BLOCKS: u64 = 40;

/// What one writer does without letting another in between.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Pushes its ops.
    Write(Vec<Op>),
    /// Ends a batch.
    Marker,
}

/// The steps of a block, the straggling last marker left out.
pub(super) fn of_block(config: &Config, period: u64, block: u64, opening: Option<&str>) -> Vec<Step> {
    let mut dice = Dice::new(config.seed, "interleave", block);
    let mut writers = writers_of(config, period, block, opening).into_iter().peekable();
    let mut steps = Vec::new();
    while let Some(first) = writers.next() {
        steps.push(Step::Write(first));
        let second =
            (config.interleave && writers.peek().is_some() && dice.once_in(4)).then(|| writers.next()).flatten();
        if let Some(second) = second {
            steps.extend([Step::Write(second), Step::Marker]);
        }
        steps.push(Step::Marker);
    }
    if straggles(config, block) {
        steps.pop();
    }
    steps
}

/// True when the last marker of `block` comes after the save at the next one.
pub(super) fn straggles(config: &Config, block: u64) -> bool {
    let last = (block + 1) % config.checkpoint_every == 1;
    config.straggle && last && Dice::new(config.seed, "straggle", block).once_in(2)
}

/// The state of so many accounts, as `put` ops.
pub(super) fn base(config: &Config, accounts: u64) -> Vec<Op> {
    let mut dice = Dice::new(config.seed, "base", 0);
    let mut ops = vec![stats_table(config, config.first_block, Some(&dice.qm()))];
    for n in 0..accounts {
        ops.push(Op::put(["balances".to_owned(), user(n)], dice.below(1_000_000_000)));
        ops.push(Op::put(["pow".to_owned(), user(n)], dice.below(1_000_000)));
    }
    ops.push(Op::put(["runners"], runners(config, config.first_block, &mut dice)));
    ops
}

fn user(n: u64) -> String {
    if n % 7 == 3 { format!("dlux-{n}.io") } else { format!("user{n}") }
}

fn writers_of(config: &Config, period: u64, block: u64, opening: Option<&str>) -> Vec<Vec<Op>> {
    let mut dice = Dice::new(config.seed, "block", block);
    let mut writers = vec![vec![
        Op::put(["rand".to_owned(), (block % 200).to_string()], dice.qm()),
        Op::put(["witness".to_owned(), (block % 100).to_string()], user(dice.below(RUNNERS))),
    ]];
    let mut left = 1 + dice.below((2 * config.ops_per_block).saturating_sub(1));
    while left > 0 {
        let count = (1 + dice.below(WRITER_OPS)).min(left);
        left -= count;
        writers.push((0..count).map(|_| transaction_op(config, block, &mut dice)).collect());
    }
    scheduled(config, block, &mut writers);
    contracts(config, block, &mut writers);
    if config.is_daily(block) {
        writers.extend(daily(config, block, &mut dice));
    }
    if block.is_multiple_of(config.checkpoint_every) {
        writers.extend(tally(config, block, opening, &mut dice));
    }
    for fault in &config.faults {
        if let &Fault::Disagree { period: from, salt } = fault
            && period >= from
            && block % config.checkpoint_every == 3
        {
            writers.insert(1, vec![Op::put(["spk", "ra"], salt.wrapping_add(block) % (1 << 50))]);
        }
    }
    writers
}

fn transaction_op(config: &Config, block: u64, dice: &mut Dice) -> Op {
    let who = user(dice.below(config.users));
    match dice.below(100) {
        0..30 => {
            let (to, amount) = (user(dice.below(config.users)), dice.below(1_000_000));
            let memo = ["", " \"memo\\\"", " caf\u{e9} \u{2713}", " tab\there", " \u{1f41d}"][dice.below(5) as usize];
            let text = format!("@{who}| Sent @{to} {}.{:03} LARYNX{memo}", amount / 1000, amount % 1000);
            Op::put(["feed".to_owned(), format!("{block}:{}", dice.txid())], text)
        }
        30..50 => Op::put(["balances".to_owned(), who], dice.below(1_000_000_000)),
        50..60 => Op::put(["spk".to_owned(), who], dice.below(100_000_000)),
        60..72 => Op::put(["broca".to_owned(), who], format!("{},{}", dice.below(100_000_000), base64(block))),
        72..80 => Op::put(["cbroca".to_owned(), who], dice.below(1_000_000)),
        80..86 => Op::put(["stats", "total_bytes"], dice.below(10_000_000_000_000)),
        86..88 => Op::put(
            ["nomention".to_owned(), who],
            [Value::Null, json!(false), json!(true)][dice.below(3) as usize].clone(),
        ),
        88..94 => sell_order(who, block, dice),
        94..97 => Op::del(["broca".to_owned(), who]),
        _ => Op::put(["authorities".to_owned(), who], format!("STM{}", dice.qm())),
    }
}

fn sell_order(who: String, block: u64, dice: &mut Dice) -> Op {
    let rate = format!("0.{:06}", 1 + dice.below(999_999));
    let key = format!("{rate}:LARYNX{}", dice.qm());
    let order = json!({ "amount": dice.below(1_000_000), "block": block, "expire_path": format!("{}:{}", block + 864_000, dice.qm()),
        "fee": 6, "from": who, "hbd": 0, "hive": dice.below(100_000), "rate": rate, "type": "hive:sell" });
    Op::put(["dex".to_owned(), "hive".to_owned(), "sellOrders".to_owned(), key], order)
}

/// Scheduled ops come and go; feed lines of a sixth of the blocks are swept.
fn scheduled(config: &Config, block: u64, writers: &mut Vec<Vec<Op>>) {
    let key = |made: u64| format!("{}:{}", made + CHRONO_BLOCKS, Dice::new(config.seed, "chrono", made).qm());
    let entry = json!({ "block": block + CHRONO_BLOCKS, "op": "expire", "who": user(block % config.users.max(1)) });
    writers.push(vec![Op::put(["chrono".to_owned(), key(block)], entry)]);
    if block >= config.first_block + CHRONO_BLOCKS {
        writers.push(vec![Op::del(["chrono".to_owned(), key(block - CHRONO_BLOCKS)])]);
    }
    if block.is_multiple_of(6) {
        let old = format!("{}:vop_0", block.saturating_sub(FEED_BLOCKS));
        writers.push(vec![
            Op::put(["feed".to_owned(), format!("{block}:vop_0")], "@t| DAO paid"),
            Op::del(["feed".to_owned(), old]),
        ]);
    }
}

/// A contract every fourth block: put whole, one node put and taken away deep inside, deleted whole at the end.
fn contracts(config: &Config, block: u64, writers: &mut Vec<Vec<Op>>) {
    let path = |made: u64| {
        let mut dice = Dice::new(config.seed, "contract", made);
        let owner = user(dice.below(config.users));
        let id = format!("{owner}:0:{made}-{}", dice.txid());
        vec!["contract".to_owned(), owner, id]
    };
    let made = |age: u64| block.checked_sub(age).filter(|at| *at >= config.first_block && at.is_multiple_of(4));
    if let Some(at) = made(0) {
        let mut dice = Dice::new(config.seed, "files", at);
        let files: serde_json::Map<_, _> = (0..2).map(|_| (dice.qm(), json!(1 + dice.below(10_000_000)))).collect();
        let contract = json!({ "a": 419_840_000, "b": "dlux-io", "c": 3, "df": files, "e": format!("{}:{}", at + CONTRACT_BLOCKS, dice.qm()),
            "m": "1|Folder,photo,jpg,,0--,doc,pdf.2,,0--", "n": { "1": "dlux-io" }, "nt": "1", "p": 3, "r": 1154, "ex": [], "u": 1_182_398 });
        writers.push(vec![
            Op::put(path(at), contract),
            Op::put(["cPointers".to_owned(), path(at)[2].clone()], path(at)[1].clone()),
        ]);
    }
    let deep = |at: u64, slot: &str| [path(at), vec!["n".to_owned(), slot.to_owned()]].concat();
    if let Some(at) = made(3) {
        writers.push(vec![
            Op::put(deep(at, "2"), user(at % RUNNERS)),
            Op::put([path(at), vec!["nt".to_owned()]].concat(), "2"),
        ]);
    }
    if let Some(at) = made(7) {
        writers.push(vec![Op::del(deep(at, "2"))]);
    }
    if let Some(at) = made(CONTRACT_BLOCKS) {
        writers.push(vec![Op::del(["cPointers".to_owned(), path(at)[2].clone()]), Op::del(path(at))]);
    }
}

/// Every `checkpoint_every` blocks: the tables that consensus rewrites. A table is deleted and put in one batch, so
/// that what existed before is gone also when it was put again; or in two, one after the other.
fn tally(config: &Config, block: u64, opening: Option<&str>, dice: &mut Dice) -> Vec<Vec<Op>> {
    let mut markets = serde_json::Map::new();
    for n in 0..RUNNERS {
        let report = json!({ "hash": opening, "block": block, "version": "v1.5.0-t3", "transaction_id": dice.txid() });
        let node = json!({ "attempts": block / 100, "yays": dice.below(1000), "wins": dice.below(50), "strikes": 0, "self": user(n),
            "domain": format!("https://{}.example", user(n)), "bidRate": 2000, "dm": 10_000, "report": report });
        markets.insert(user(n), node);
    }
    let table = runners(config, block, dice);
    let mut writers = vec![
        vec![stats_table(config, block, opening)],
        vec![Op::put(["markets", "node"], markets)],
        vec![Op::put(["list"], json!({}))],
    ];
    if dice.once_in(2) {
        writers.push(vec![Op::del(["runners"]), Op::put(["runners"], table.clone())]);
        writers.push(vec![Op::del(["queue"]), Op::put(["queue"], table)]);
    } else {
        writers.push(vec![Op::del(["runners"]), Op::del(["queue"])]);
        writers.push(vec![Op::put(["runners"], table.clone()), Op::put(["queue"], table)]);
    }
    writers
}

fn runners(config: &Config, block: u64, dice: &mut Dice) -> Value {
    let picked = (0..RUNNERS).filter(|n| !(n + block / config.checkpoint_every).is_multiple_of(3));
    let rows: serde_json::Map<_, _> =
        picked.map(|n| (user(n), json!({ "g": dice.below(100_000), "l": 1, "api": user(n) }))).collect();
    Value::Object(rows)
}

fn stats_table(config: &Config, block: u64, opening: Option<&str>) -> Op {
    let stats = json!({ "hashLastIBlock": opening, "lastBlock": opening, "lastIBlock": block - config.checkpoint_every.min(block),
        "tokenSupply": 1_000_000_000u64 + block, "IPFSRate": 2000, "broca_refill": 144_000, "channel_min": 100, "safetyLimit": 1.5,
        "multiSigCollateral": 0, "chaos": false, "validators_registered": base64(block % 90), "ms": { "active_account_auths": ["a", "b"] } });
    Op::put(["stats"], stats)
}

fn daily(config: &Config, block: u64, dice: &mut Dice) -> Vec<Vec<Op>> {
    let mut payments = Vec::new();
    for n in 0..DAILY_PAYMENTS.min(config.users) {
        payments.push(Op::put(["balances".to_owned(), user(n)], dice.below(1_000_000_000)));
    }
    let val: serde_json::Map<_, _> = (0..RUNNERS).map(|n| (format!("{n:02}"), json!(dice.below(1_000_000)))).collect();
    vec![
        payments,
        vec![Op::del(["val"]), Op::put(["val"], val)],
        vec![Op::put(["feed".to_owned(), format!("{block}:vop_dao")], format!("@t| DAO day {}", block / 28_800))],
    ]
}

/// Honeycomb's base 64 of a number.
fn base64(mut number: u64) -> String {
    const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+=";
    let mut digits = Vec::new();
    loop {
        digits.push(DIGITS[(number % 64) as usize] as char);
        number /= 64;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}
