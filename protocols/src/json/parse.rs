//! A JSON text into a value, without recursion.

use super::{Json, JsonError, MAX_DEPTH, Number, RawText, Scan, Text};

/// A container that is not closed yet.
enum Open {
    Array(Vec<Json>),
    /// Members so far, and the key whose value comes next.
    Object(Vec<(Text, Json)>, Text),
}

/// Reads one JSON value. Refuses invalid UTF-8, nesting beyond [`MAX_DEPTH`] and numbers beyond the range of a
/// double; keeps lone surrogates; the last of equal keys wins.
pub fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
    let mut scan = Scan::new(bytes)?;
    let value = parse_value(&mut scan, MAX_DEPTH)?;
    scan.end()?;
    Ok(value)
}

/// Reads the value that comes next, nested at most `depth` deep.
pub(crate) fn parse_value(scan: &mut Scan<'_>, depth: usize) -> Result<Json, JsonError> {
    let mut stack: Vec<Open> = Vec::new();
    loop {
        let Some(mut value) = scalar_or_open(scan, &mut stack, depth)? else { continue };
        loop {
            let Some(open) = stack.pop() else { return Ok(value) };
            let (next, finished) = add(scan, open, value)?;
            match finished {
                Some(whole) => value = whole,
                None => {
                    stack.extend(next);
                    break;
                }
            }
        }
    }
}

/// A scalar or empty container, or none after having entered a container up to its first value.
fn scalar_or_open(scan: &mut Scan<'_>, stack: &mut Vec<Open>, depth: usize) -> Result<Option<Json>, JsonError> {
    let byte = scan.next_token();
    if !matches!(byte, b'{' | b'[') {
        return scalar(scan, byte).map(Some);
    }
    if stack.len() >= depth {
        return Err(JsonError::Depth { at: scan.at });
    }
    scan.at += 1;
    if byte == b'[' {
        if scan.next_token() == b']' {
            scan.at += 1;
            return Ok(Some(Json::Array(Vec::new())));
        }
        stack.push(Open::Array(Vec::new()));
        return Ok(None);
    }
    if scan.next_token() == b'}' {
        scan.at += 1;
        return Ok(Some(Json::Object(Vec::new())));
    }
    let key = text(scan.key()?);
    stack.push(Open::Object(Vec::new(), key));
    Ok(None)
}

/// Puts a value into its container: the container again, or its value when it ends here.
fn add(scan: &mut Scan<'_>, open: Open, value: Json) -> Result<(Option<Open>, Option<Json>), JsonError> {
    let byte = scan.next_token();
    match (open, byte) {
        (Open::Array(mut items), b',' | b']') => {
            scan.at += 1;
            items.push(value);
            Ok(if byte == b',' { (Some(Open::Array(items)), None) } else { (None, Some(Json::Array(items))) })
        }
        (Open::Object(mut members, key), b',' | b'}') => {
            scan.at += 1;
            members.push((key, value));
            if byte == b'}' {
                return Ok((None, Some(Json::object(members))));
            }
            let key = text(scan.key()?);
            Ok((Some(Open::Object(members, key)), None))
        }
        _ => Err(scan.error("comma or end of container expected")),
    }
}

fn scalar(scan: &mut Scan<'_>, byte: u8) -> Result<Json, JsonError> {
    match byte {
        b'"' => scan.string().map(|raw| Json::Text(text(raw))),
        b'n' => scan.literal(b"null").map(|()| Json::Null),
        b't' => scan.literal(b"true").map(|()| Json::Bool(true)),
        b'f' => scan.literal(b"false").map(|()| Json::Bool(false)),
        _ => {
            let at = scan.at;
            let (token, integer) = scan.number()?;
            match Number::from_token(token, integer).ok_or(JsonError::Overflow { at })? {
                Number::Int(int) => Ok(Json::Int(int)),
                Number::Float(float) => Ok(Json::Float(float)),
            }
        }
    }
}

fn text(raw: RawText<'_>) -> Text {
    let mut scratch = Vec::new();
    Text(raw.decode(&mut scratch).into())
}
