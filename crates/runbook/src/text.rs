//! Text into lines of fields: quotes as RFC 4180 has them, and none where a dump forgot
//! them.
//!
//! A field that opens with a quote ends at its closing quote, and may hold commas, line
//! ends and doubled quotes. Where that does not come out (a dump without quoting whose
//! text begins with one), the line is cut at every comma, and the row says what fits.

/// One record of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Line on which it begins, counted from 1.
    pub line: u64,
    /// Its fields.
    pub fields: Vec<String>,
}

/// The records of `text`. A byte order mark and empty lines are passed over.
pub(crate) fn records(text: &str, columns: Option<usize>) -> impl Iterator<Item = Record> + '_ {
    Records {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
        columns,
    }
}

struct Records<'a> {
    rest: &'a str,
    line: u64,
    /// How many fields a record should have, once that is known.
    columns: Option<usize>,
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while !self.rest.is_empty() {
            let line = self.line;
            let (fields, length) = self.take_record();
            let taken = &self.rest[..length];
            self.line += taken.bytes().filter(|byte| *byte == b'\n').count() as u64;
            self.rest = &self.rest[length..];
            if fields.iter().any(|field| !field.is_empty()) {
                // The first record is the head; it tells what the others should have.
                self.columns.get_or_insert(fields.len());
                return Some(Record { line, fields });
            }
        }
        None
    }
}

impl Records<'_> {
    /// The next record and how many bytes it takes.
    fn take_record(&self) -> (Vec<String>, usize) {
        let end = self
            .rest
            .find('\n')
            .map_or(self.rest.len(), |newline| newline + 1);
        match quoted(self.rest) {
            // A quote that swallows the lines after it is no quote.
            Some((fields, length))
                if length <= end || self.columns.is_none_or(|n| n == fields.len()) =>
            {
                (fields, length)
            }
            _ => {
                let line = self.rest[..end].trim_end_matches(['\n', '\r']);
                (line.split(',').map(str::to_owned).collect(), end)
            }
        }
    }
}

/// Reads one record by the rules; `None` where it breaks them.
fn quoted(text: &str) -> Option<(Vec<String>, usize)> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let (field, next) = if text[at..].starts_with('"') {
            quoted_field(text, at + 1)?
        } else {
            let length = text[at..].find([',', '\n']).unwrap_or(text.len() - at);
            (text[at..at + length].to_owned(), at + length)
        };
        let rest = &text[next..];
        if rest.starts_with(',') {
            fields.push(field);
            at = next + 1;
            continue;
        }
        let (ends, length) = match rest.as_bytes() {
            [] => (true, 0),
            [b'\n', ..] => (true, 1),
            [b'\r', b'\n', ..] => (true, 2),
            _ => (false, 0),
        };
        if !ends {
            return None;
        }
        fields.push(field.strip_suffix('\r').map(str::to_owned).unwrap_or(field));
        return Some((fields, next + length));
    }
}

/// The field whose first character is at `at`, without its quotes, and where it ends.
fn quoted_field(text: &str, at: usize) -> Option<(String, usize)> {
    let mut field = String::new();
    let mut at = at;
    loop {
        let length = text[at..].find('"')?;
        field.push_str(&text[at..at + length]);
        at += length + 1;
        if !text[at..].starts_with('"') {
            return Some((field, at));
        }
        field.push('"');
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(u64, Vec<String>)> {
        records(text, None)
            .map(|record| (record.line, record.fields))
            .collect()
    }

    fn fields(of: &[&str]) -> Vec<String> {
        of.iter().map(|field| (*field).to_owned()).collect()
    }

    #[test]
    fn quoted_and_plain_fields_are_read_with_their_lines() {
        let text = "\u{feff}a,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n\r\n3,\n";
        assert_eq!(
            read(text),
            [
                (1, fields(&["a", "b"])),
                (2, fields(&["1", "x, \"y\"\nz"])),
                (5, fields(&["3", ""])),
            ]
        );
    }

    #[test]
    fn a_stray_quote_does_not_swallow_the_rest() {
        let text = "a,b,c\n1,\"start, x\n2,y,z\n3,say \"hi\",q\n4,\"ab\"cd,e\n";
        assert_eq!(
            read(text)[1..],
            [
                (2, fields(&["1", "\"start", " x"])),
                (3, fields(&["2", "y", "z"])),
                (4, fields(&["3", "say \"hi\"", "q"])),
                (5, fields(&["4", "\"ab\"cd", "e"])),
            ]
        );
    }

    fn written(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(rows in prop::collection::vec(prop::array::uniform3("[a-c,\"\n ]{0,6}"), 1..8)) {
            let text: String = rows
                .iter()
                .map(|row| row.iter().map(|field| written(field)).collect::<Vec<_>>().join(",") + "\n")
                .collect();
            let head = "x,y,z\n";
            let found: Vec<_> = records(&(head.to_owned() + &text), None).skip(1).map(|r| r.fields).collect();
            let rows: Vec<_> = rows.iter().filter(|row| row.iter().any(|f| !f.is_empty())).map(|row| row.to_vec()).collect();
            prop_assert_eq!(found, rows);
        }

        #[test]
        fn any_text_ends_and_every_line_is_somewhere(text in "[a,\"\n\r]{0,60}") {
            let lines: Vec<_> = records(&text, None).map(|record| record.line).collect();
            prop_assert!(lines.is_sorted());
        }
    }
}
