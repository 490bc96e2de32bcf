//! Results on standard output: one JSON value, or columns for a person.
//!
//! *Always holds:* a reader that went away is no failure and no panic; any other failed write is a failure.

use super::exit::{Code, Failure, Outcome};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;

/// One JSON value on one line.
pub fn json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(Code::Failed, error))?;
    line(&text)
}

/// One line.
pub fn line(text: &str) -> Outcome {
    read_on(text).map(drop)
}

/// Lines, as long as somebody reads them.
pub fn lines(texts: impl IntoIterator<Item = String>) -> Outcome {
    for text in texts {
        if !read_on(&text)? {
            break;
        }
    }
    Ok(())
}

/// Prints a line; whether anybody still reads. A reader that went away (`| head`) is no failure.
pub fn read_on(text: &str) -> Result<bool, Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Code::Failed, error)),
    }
}

/// One line on standard error, for the person. Nobody there is no failure either.
pub fn beside(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Left-aligned columns under a heading.
pub fn table(heading: &[&str], rows: Vec<Vec<String>>) -> Outcome {
    let mut widths: Vec<usize> = heading.iter().map(|h| h.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let padded = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading = heading.iter().map(|&name| name.to_owned()).collect();
    lines(std::iter::once(heading).chain(rows).map(padded))
}

/// The value at a JSON pointer as a person reads it; `-` when there is none.
pub fn at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The first and last characters of an id, enough to tell it from others on a screen.
pub fn short(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    if chars.len() <= 16 {
        return id.to_owned();
    }
    let (front, back): (String, String) = (chars[..6].iter().collect(), chars[chars.len() - 6..].iter().collect());
    format!("{front}..{back}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shortened_from_the_middle() {
        assert_eq!(short("bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"), "bafyre..4s52zy");
        assert_eq!(short("-"), "-");
    }

    #[test]
    fn what_is_not_there_is_a_dash() {
        let value = serde_json::json!({"a": {"b": 1, "c": "x", "d": null}});
        assert_eq!(at(&value, "/a/b"), "1");
        assert_eq!(at(&value, "/a/c"), "x");
        assert_eq!(at(&value, "/a/d"), "-");
        assert_eq!(at(&value, "/e"), "-");
    }
}
