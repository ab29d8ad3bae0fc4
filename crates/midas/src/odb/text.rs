//! The old text dump, the format of `.odb` files (`db_save` of MIDAS):
//!
//! ```text
//! [Runinfo]
//! Run number = INT : 407
//! Name = STRING : [32] online
//! Demand = FLOAT[2] :
//! [0] 400
//! [1] 410
//! ```
//!
//! What is not understood is named and left out; the lines after it are read.

use crate::tid::Tid;

use super::tree::{Directory, Entry, Key, Value};
use super::{Damages, OdbDamageKind};

/// Stands before and after a string of several lines.
const FENCE: &str = "====#$@$#====";

pub(super) fn read(text: &str, damages: &mut Damages) -> Directory {
    let mut root = Directory::default();
    let mut path = String::new();
    let mut lines = Lines {
        rest: text,
        offset: 0,
    };
    while let Some((offset, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        if let Some(name) = line
            .trim()
            .strip_prefix('[')
            .and_then(|it| it.strip_suffix(']'))
        {
            name.clone_into(&mut path);
            if root.make(&path).is_none() {
                damages.note(offset, OdbDamageKind::Unknown);
            }
            continue;
        }
        let Some((name, tid, count, first)) = split_key(line) else {
            damages.note(offset, OdbDamageKind::Unknown);
            continue;
        };
        let mut key = Key {
            tid: Some(tid),
            link: None,
            values: Vec::new(),
        };
        match count {
            None => {
                let value = value(tid, first, offset, &mut lines, damages);
                if let (Tid::LINK, Value::Text(target)) = (tid, &value) {
                    key.link = Some(target.clone());
                }
                key.values.push(value);
            }
            Some(count) => {
                while key.values.len() < count {
                    // Each item has a line of its own, which begins with its number, or
                    // with its length where it is a string.
                    let Some((offset, line)) = lines.next_if(|line| line.starts_with('[')) else {
                        damages.note(lines.offset, OdbDamageKind::CutShort);
                        break;
                    };
                    let item = if holds_text(tid) {
                        line
                    } else {
                        line.split_once(']').map_or(line, |(_, item)| item)
                    };
                    key.values
                        .push(value(tid, item, offset, &mut lines, damages));
                }
            }
        }
        match root.make(&path) {
            Some(directory) => directory.push(name.to_owned(), Entry::Key(key)),
            None => damages.note(offset, OdbDamageKind::Unknown),
        }
    }
    root
}

/// Lines with their offsets.
struct Lines<'a> {
    rest: &'a str,
    offset: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        self.next_if(|_| true)
    }

    fn next_if(&mut self, wanted: impl FnOnce(&str) -> bool) -> Option<(usize, &'a str)> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        if !wanted(line) {
            return None;
        }
        let offset = self.offset;
        self.offset += self.rest.len() - rest.len();
        self.rest = rest;
        Some((offset, line.strip_suffix('\r').unwrap_or(line)))
    }

    /// The lines up to the fence.
    fn fenced(&mut self) -> Option<&'a str> {
        let (inside, rest) = self.rest.split_once(FENCE)?;
        self.offset += self.rest.len() - rest.len();
        self.rest = rest;
        // What is left of the fence's own line.
        self.next();
        Some(inside.strip_suffix('\n').unwrap_or(inside))
    }
}

/// Name, type, number of items where it is an array, and what follows the colon.
fn split_key(line: &str) -> Option<(&str, Tid, Option<usize>, &str)> {
    // A name may hold " = ", but what follows the last one before the value is a type.
    line.match_indices(" = ").find_map(|(at, separator)| {
        let rest = &line[at + separator.len()..];
        let (kind, value) = rest.split_once(':')?;
        let kind = kind.trim();
        let (kind, count) = match kind.strip_suffix(']') {
            Some(array) => {
                let (kind, count) = array.split_once('[')?;
                (kind, Some(count.parse().ok()?))
            }
            None => (kind, None),
        };
        let value = value.strip_prefix(' ').unwrap_or(value);
        Some((&line[..at], Tid::from_name(kind)?, count, value))
    })
}

fn holds_text(tid: Tid) -> bool {
    matches!(tid, Tid::STRING | Tid::LINK)
}

/// One value; a string of several lines takes them.
fn value(
    tid: Tid,
    text: &str,
    offset: usize,
    lines: &mut Lines<'_>,
    damages: &mut Damages,
) -> Value {
    if !holds_text(tid) {
        return Value::from_text(tid, text, offset, damages);
    }
    // The length that the key has room for, in brackets.
    let text = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((length, text)) if length.parse::<u32>().is_ok() => {
            text.strip_prefix(' ').unwrap_or(text)
        }
        _ => text,
    };
    if text.trim_end() != FENCE {
        return Value::Text(text.to_owned());
    }
    let inside = lines.fenced();
    if inside.is_none() {
        damages.note(offset, OdbDamageKind::CutShort);
    }
    Value::Text(inside.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Odb, OdbDamageKind};

    #[test]
    fn every_kind_of_line_is_read() {
        let odb = Odb::from_text(
            b"[System/Clients/17]\nName = STRING : [32] mhttpd\nServer Port = INT : 40000\n\n\
              [.]\nTop = BOOL : n\n\n[/Equipment/HV]\n\
              Names = STRING[2] :\n[32] left one\n[32] \nRates = DOUBLE[2] :\n[0] 1.5\n[1] -inf\n\
              Script = STRING : [80] ====#$@$#====\nline 1\nline 2\n====#$@$#====\n\
              a = b = DWORD : 0x10\nTo = LINK : [20] /Runinfo/State\n",
        )
        .unwrap();
        let at = |path: &str| odb.get(path).unwrap();
        assert_eq!(at("/System/Clients/17/Server Port").as_i64(), Some(40000));
        assert_eq!(at("/Top").as_bool(), Some(false));
        assert_eq!(at("/Equipment/HV/Names[0]").as_str(), Some("left one"));
        assert_eq!(at("/Equipment/HV/Names[1]").as_str(), Some(""));
        assert_eq!(
            at("/Equipment/HV/Rates[1]").as_f64(),
            Some(f64::NEG_INFINITY)
        );
        assert_eq!(at("/Equipment/HV/Script").as_str(), Some("line 1\nline 2"));
        assert_eq!(at("/Equipment/HV/a = b").as_u64(), Some(16));
        assert_eq!(at("/Equipment/HV/To").link(), Some("/Runinfo/State"));
        assert!(odb.damages().is_empty(), "{:?}", odb.damages());
    }

    #[test]
    fn damage_costs_only_its_line() {
        let odb = Odb::from_text(
            b"[A]\nnonsense\nOne = INT : 1\nMany = INT[3] :\n[0] 1\n[1] 2\nTwo = INT : two\n",
        )
        .unwrap();
        assert_eq!(odb.get("/A/One").unwrap().as_i64(), Some(1));
        assert_eq!(odb.get("/A/Many").unwrap().count(), Some(2));
        assert_eq!(odb.get("/A/Two").unwrap().as_str(), Some("two"));
        let told: Vec<_> = odb
            .damages()
            .iter()
            .map(|it| (it.offset, &it.kind))
            .collect();
        assert_eq!(
            told,
            [
                (4, &OdbDamageKind::Unknown),
                (55, &OdbDamageKind::CutShort),
                (55, &OdbDamageKind::NotOfType("two".to_owned()))
            ]
        );
    }

    #[test]
    fn depth_is_survived() {
        let deep = format!(
            "[{}]\nOne = INT : 1\n[B]\nTwo = INT : 2\n",
            "a/".repeat(100_000)
        );
        let odb = Odb::from_text(deep.as_bytes()).unwrap();
        assert_eq!(odb.get("/B/Two").unwrap().as_i64(), Some(2));
    }
}
