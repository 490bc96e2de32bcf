//! Numbers as ECMAScript reads and prints them.
//!
//! *Always holds:* an integer below 2^53 is [`Number::Int`], however it was written; -0 is 0; nothing is infinite.

use std::io::Write;

/// First magnitude that is not kept as an integer.
const FIRST_FLOAT: i64 = 1 << 53;

/// Digits that always make an integer below 2^53.
pub(super) const SURE_DIGITS: usize = 15;

/// A number of JavaScript, canonical: compare and print freely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer below 2^53 in magnitude.
    Int(i64),
    /// Any other finite number.
    Float(f64),
}

impl Number {
    /// The number nearest to a JSON number token; none when it would be infinite.
    pub(crate) fn from_token(token: &[u8], integer: bool) -> Option<Self> {
        let text = std::str::from_utf8(token).ok()?;
        if integer && token.len() <= SURE_DIGITS + 1 {
            let int: i64 = text.parse().ok()?;
            if int.abs() < FIRST_FLOAT {
                return Some(Self::Int(int));
            }
        }
        Self::from_f64(text.parse().ok()?)
    }

    /// From a double; none when it is not finite.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let exact = value.trunc() == value && value.abs() < FIRST_FLOAT as f64;
        Some(if exact { Self::Int(value as i64) } else { Self::Float(value) })
    }

    /// The double that JavaScript holds.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    /// Appends the text that `Number.prototype.toString` gives.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Int(int) => write_int(int, out),
            Self::Float(float) => write_float(float, out),
        }
    }
}

fn write_int(int: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = int.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if int < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// ECMA-262, Number::toString with radix 10: the shortest digits that read back, placed by the decimal exponent.
fn write_float(float: f64, out: &mut Vec<u8>) {
    let shortest = shortest(float.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = digits.len() as i32;
    let point = exponent + 1;
    if float < 0.0 {
        out.push(b'-');
    }
    match point {
        _ if (count..=21).contains(&point) => {
            out.extend(&digits);
            out.extend(std::iter::repeat_n(b'0', (point - count) as usize));
        }
        1..=21 => {
            out.extend(&digits[..point as usize]);
            out.push(b'.');
            out.extend(&digits[point as usize..]);
        }
        -5..=0 => {
            out.extend(b"0.");
            out.extend(std::iter::repeat_n(b'0', -point as usize));
            out.extend(&digits);
        }
        _ => {
            out.push(digits[0]);
            if count > 1 {
                out.push(b'.');
                out.extend(&digits[1..]);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            let _infallible = write!(out, "e{sign}{}", exponent.abs());
        }
    }
}

/// Of the shortest digits that read back, those nearest to the number, and of two as near the even ones, as V8 does.
/// Without a precision, Rust takes the upper of two; with one, it rounds to even.
fn shortest(float: f64) -> String {
    let upper = format!("{float:e}");
    let digits = upper.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let even = format!("{float:.*e}", digits - 1);
    if even != upper && even.parse() == Ok(float) { even } else { upper }
}
