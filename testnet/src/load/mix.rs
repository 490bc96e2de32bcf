//! What is written: honeycomb's tables in their usual proportions, or plain fields over a fixed number of paths.
//!
//! *Always holds:* a write depends on the seed and its number alone.

/// One write; no data means del.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Path.
    pub path: Vec<String>,
    /// Data as JSON text.
    pub data: Option<String>,
}

impl Write {
    /// A put.
    pub fn put(path: impl IntoIterator<Item = impl Into<String>>, data: impl Into<String>) -> Self {
        Self { path: path.into_iter().map(Into::into).collect(), data: Some(data.into()) }
    }

    /// The path as a JSON array.
    pub fn path_json(&self) -> String {
        let quoted: Vec<String> = self.path.iter().map(|segment| format!("\"{segment}\"")).collect();
        format!("[{}]", quoted.join(","))
    }
}

/// Mulberry32, as load tests of this wire use it: small, and the same in every language.
#[derive(Clone, Debug)]
struct Mulberry(u32);

impl Mulberry {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x6d2b_79f5);
        let a = self.0;
        let mut t = (a ^ (a >> 15)).wrapping_mul(1 | a);
        t = t.wrapping_add((t ^ (t >> 7)).wrapping_mul(61 | t)) ^ t;
        f64::from(t ^ (t >> 14)) / 4_294_967_296.0
    }

    fn below(&mut self, end: f64) -> u64 {
        (self.next() * end) as u64
    }
}

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE64: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+=";

/// A text shaped like a CIDv0: `Qm` and 44 more, a function of the name.
pub(crate) fn cid(name: &str) -> String {
    let mut random = [0; 44];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut random);
    let tail = random.iter().map(|byte| BASE58[usize::from(*byte) % 58] as char);
    ['Q', 'm'].into_iter().chain(tail).collect()
}

/// 40 hex digits, a function of the name, like a transaction's.
fn txid(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex()[..40].to_owned()
}

fn base64(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(BASE64[(number % 64) as usize]);
        number /= 64;
        if number == 0 {
            digits.reverse();
            return digits.into_iter().map(char::from).collect();
        }
    }
}

/// Honeycomb's state writes in their usual proportions, 5,000 users.
#[derive(Clone, Debug)]
pub struct Mix {
    chance: Mulberry,
    dels: f64,
}

impl Mix {
    /// A mix with this share of dels (0 to 1).
    pub fn new(seed: u32, dels: f64) -> Self {
        Self { chance: Mulberry(seed), dels }
    }

    /// Write number `i`, in a period with this block.
    pub fn write(&mut self, i: u64, block: u64) -> Write {
        let chance = &mut self.chance;
        let user = format!("user{}", chance.below(5000.0));
        let kind = chance.next();
        if chance.next() < self.dels {
            let path = ["chrono".to_owned(), format!("{}:{}", block + 100, cid(&format!("c{i}")))];
            return Write { path: path.to_vec(), data: None };
        }
        match kind {
            x if x < 0.30 => feed(chance, i, block, &user),
            x if x < 0.50 => Write::put(["balances", &user], chance.below(1e9).to_string()),
            x if x < 0.60 => Write::put(["spk", &user], chance.below(1e8).to_string()),
            x if x < 0.72 => {
                let power = format!("\"{},{}\"", chance.below(1e8), base64(block));
                Write::put(["broca", &user], power)
            }
            x if x < 0.80 => Write::put(["cbroca", &user], chance.below(1e6).to_string()),
            x if x < 0.88 => Write::put(["stats", "total_bytes"], chance.below(1e13).to_string()),
            x if x < 0.94 => order(chance, i, block, &user),
            _ => contract(chance, i, block, &user),
        }
    }
}

fn feed(chance: &mut Mulberry, i: u64, block: u64, user: &str) -> Write {
    let key = format!("{block}:{}", txid(&format!("t{i}")));
    let to = i % 5000;
    Write::put(["feed", &key], format!("\"@{user}| Sent @user{to} {:.3} LARYNX\"", chance.next() * 1000.0))
}

fn order(chance: &mut Mulberry, i: u64, block: u64, user: &str) -> Write {
    let key = format!("{:.6}:LARYNX{}", chance.next(), cid(&format!("o{i}")));
    let (amount, hive, end) = (chance.below(1e6), chance.below(1e5), block + 864_000);
    let expires = cid(&format!("e{i}"));
    let data = format!(
        "{{\"amount\":{amount},\"block\":{block},\"expire_path\":\"{end}:{expires}\",\"fee\":6,\"from\":\"{user}\",\
         \"hbd\":0,\"hive\":{hive},\"rate\":\"0.100000\",\"type\":\"hive:sell\"}}"
    );
    Write::put(["dex", "hive", "sellOrders", &key], data)
}

fn contract(chance: &mut Mulberry, i: u64, block: u64, user: &str) -> Write {
    let key = format!("{user}:0:{block}-{}", txid(&format!("x{i}")));
    let size = 1 + chance.below(1e7);
    let (file, thumb, expires, end) =
        (cid(&format!("f{i}")), cid(&format!("g{i}")), cid(&format!("e{i}")), block + 864_000);
    let data = format!(
        "{{\"a\":419840000,\"b\":\"dlux-io\",\"c\":3,\"df\":{{\"{file}\":{size},\"{thumb}\":7706}},\
         \"e\":\"{end}:{expires}\",\"f\":\"{user}\",\"i\":\"{user}:0:{block}-x\",\
         \"m\":\"1|Folder,photo,jpg,,0--,doc,pdf.2,,0--\",\"n\":{{\"1\":\"dlux-io\"}},\"nt\":\"1\",\"p\":3,\
         \"r\":1154,\"t\":\"{user}\",\"u\":1182398}}"
    );
    Write::put(["contract", user, &key], data)
}

/// Plain fields: write `i` sets path `i % paths` to a number that no other write uses.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// Paths written, in turns.
    pub paths: u64,
}

impl Fields {
    /// Fields in one table; a thousand tables hold them all.
    const PER_TABLE: u64 = 1000;

    /// The path that write `i` sets.
    pub fn path(self, i: u64) -> [String; 2] {
        let field = i % self.paths;
        [format!("table{}", field / Self::PER_TABLE), format!("field{}", field % Self::PER_TABLE)]
    }

    /// Write number `i`.
    pub fn write(self, i: u64) -> Write {
        Write::put(self.path(i), i.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, Mix, base64, cid};
    use std::collections::BTreeMap;

    #[test]
    fn the_mix_has_its_proportions_and_is_the_seeds() {
        let (mut one, mut two) = (Mix::new(1, 0.02), Mix::new(1, 0.02));
        let mut tables: BTreeMap<String, u32> = BTreeMap::new();
        for i in 0..20_000 {
            let write = one.write(i, 97_643_700);
            assert_eq!(write, two.write(i, 97_643_700));
            if let Some(data) = &write.data {
                let _: serde_json::Value = serde_json::from_str(data).expect("data is JSON");
            }
            *tables.entry(write.path[0].clone()).or_default() += 1;
        }
        let share = |table: &str| f64::from(tables[table]) / 20_000.0;
        for (table, expected) in [("feed", 0.294), ("balances", 0.196), ("contract", 0.059), ("chrono", 0.02)] {
            assert!((share(table) - expected).abs() < 0.01, "{table}: {}", share(table));
        }
    }

    #[test]
    fn shapes_are_those_of_the_wire() {
        assert_eq!(cid("a").len(), 46);
        assert_eq!((base64(0).as_str(), base64(64).as_str(), base64(63).as_str()), ("0", "10", "="));
        assert_eq!(Fields { paths: 2000 }.write(3001).path, ["table1", "field1"]);
    }
}
