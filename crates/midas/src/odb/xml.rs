//! The XML dump, as MIDAS's MXML writes it: `dir`, `key`, and `keyarray` with one `value`
//! for each item. Ends at the first place that is no XML, with all that came before.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::tid::Tid;

use super::tree::{DEPTH, Directory, Entry, Key, Value};
use super::{Damages, OdbDamageKind};

pub(super) fn read(text: &str, damages: &mut Damages) -> Directory {
    let mut reader = Reader::from_str(text);
    reader.config_mut().allow_dangling_amp = true;
    let mut tree = Tree {
        open: vec![(String::new(), Directory::default())],
        key: None,
        text: String::new(),
        damages,
    };
    let mut depth = 0_usize;
    let whole = loop {
        let position = reader.buffer_position() as usize;
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                depth += 1;
                // Every element of a whole dump has its end, which is checked.
                if tree.open.len() > DEPTH {
                    break false;
                }
                tree.begin(&tag, position);
            }
            Ok(Event::Empty(tag)) => {
                tree.begin(&tag, position);
                tree.end(tag.name().as_ref(), position);
            }
            Ok(Event::End(tag)) => {
                depth = depth.saturating_sub(1);
                tree.end(tag.name().as_ref(), position);
            }
            Ok(Event::Text(text)) => tree.text.push_str(&text),
            Ok(Event::CData(text)) => tree.text.push_str(&text),
            Ok(Event::GeneralRef(reference)) => {
                if let Ok(Some(letter)) = reference.resolve_char_ref() {
                    tree.text.push(letter);
                } else if let Some(letters) = resolve_predefined_entity(&reference) {
                    tree.text.push_str(letters);
                }
            }
            Ok(Event::Eof) => break depth == 0,
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
            Err(_) => break false,
        }
    };
    if !whole {
        let position = reader.buffer_position() as usize;
        tree.damages.note(position, OdbDamageKind::CutShort);
    }
    tree.finish()
}

struct Tree<'d> {
    /// The directories that are not complete, from the root on, with their names.
    open: Vec<(String, Directory)>,
    /// The key that is not complete.
    key: Option<(String, Key)>,
    /// What was read since the last tag.
    text: String,
    damages: &'d mut Damages,
}

impl Tree<'_> {
    fn begin(&mut self, tag: &BytesStart<'_>, position: usize) {
        self.text.clear();
        let name = || attribute(tag, "name").unwrap_or_default();
        match tag.name().as_ref() {
            "dir" => self.open.push((name(), Directory::default())),
            "key" | "keyarray" => {
                let key = Key {
                    tid: attribute(tag, "type").and_then(|name| Tid::from_name(&name)),
                    link: None,
                    values: Vec::new(),
                };
                self.key = Some((name(), key));
            }
            "odb" | "value" => {}
            _ => self.damages.note(position, OdbDamageKind::Unknown),
        }
    }

    fn end(&mut self, element: &str, position: usize) {
        match element {
            "dir" => self.close_directory(),
            "value" => self.add_value(position),
            "key" => {
                self.add_value(position);
                self.close_key();
            }
            "keyarray" => self.close_key(),
            _ => {}
        }
        self.text.clear();
    }

    fn add_value(&mut self, position: usize) {
        if let Some((_, key)) = &mut self.key {
            let value = match key.tid {
                Some(tid) => Value::from_text(tid, &self.text, position, self.damages),
                None => Value::Text(self.text.clone()),
            };
            if key.tid == Some(Tid::LINK) {
                key.link = Some(self.text.clone());
            }
            key.values.push(value);
        }
    }

    fn close_key(&mut self) {
        if let (Some((name, key)), Some((_, directory))) = (self.key.take(), self.open.last_mut()) {
            directory.push(name, Entry::Key(key));
        }
    }

    fn close_directory(&mut self) {
        // The root stays open to the end.
        if self.open.len() > 1
            && let Some((name, directory)) = self.open.pop()
            && let Some((_, parent)) = self.open.last_mut()
        {
            parent.push(name, Entry::Directory(directory));
        }
    }

    fn finish(mut self) -> Directory {
        self.close_key();
        while self.open.len() > 1 {
            self.close_directory();
        }
        self.open.pop().map(|(_, root)| root).unwrap_or_default()
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag
        .attributes()
        .flatten()
        .find(|it| it.key.as_ref() == name)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Odb, OdbDamageKind};

    const DUMP: &str = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n\
        <!-- created by MXML on Fri Jan  4 10:51:22 2019 -->\n\
        <odb root=\"/\" filename=\"run1.xml\">\n<dir name=\"A &amp; B\" handle=\"1\">\n\
        <key name=\"Empty\" type=\"STRING\" size=\"32\"></key>\n\
        <key name=\"None\" type=\"STRING\" size=\"32\"/>\n\
        <key name=\"Rate\" type=\"DOUBLE\">2,5</key>\n\
        <key name=\"Bad\" type=\"INT\">seven</key>\n\
        <key name=\"To\" type=\"LINK\" size=\"20\">/Runinfo/State</key>\n\
        <key name=\"Mask\" type=\"UINT32\">0x10</key>\n\
        </dir>\n</odb>\n";

    #[test]
    fn values_have_their_types() {
        let odb = Odb::from_xml(DUMP.as_bytes()).unwrap();
        let at = |name: &str| odb.get(&format!("/A & B/{name}")).unwrap();
        assert_eq!(at("Empty").as_str(), Some(""));
        assert_eq!(at("None").as_str(), Some(""));
        assert_eq!(at("Rate").as_f64(), Some(2.5));
        assert_eq!(at("Bad").as_str(), Some("seven"));
        assert_eq!(at("To").link(), Some("/Runinfo/State"));
        assert_eq!(at("Mask").as_u64(), Some(16));
        let kinds: Vec<_> = odb.damages().iter().map(|damage| &damage.kind).collect();
        assert_eq!(
            kinds,
            [
                &OdbDamageKind::DecimalComma,
                &OdbDamageKind::NotOfType("seven".to_owned())
            ]
        );
    }

    #[test]
    fn a_cut_dump_keeps_what_came_before() {
        let cut = DUMP.find("seven").unwrap() + 3;
        let odb = Odb::from_xml(&DUMP.as_bytes()[..cut]).unwrap();
        assert_eq!(odb.get("/A & B/Rate").unwrap().as_f64(), Some(2.5));
        let last = odb.damages().last().unwrap();
        assert_eq!(last.kind, OdbDamageKind::CutShort);
        assert_eq!(odb.get("/A & B/Bad").unwrap().count(), Some(0));
    }

    #[test]
    fn latin_letters_are_read() {
        let odb = Odb::from_xml(b"<odb><key name=\"K\" type=\"STRING\">20 \xb0C</key></odb>");
        assert_eq!(odb.unwrap().get("K").unwrap().as_str(), Some("20 °C"));
    }

    #[test]
    fn depth_is_survived() {
        let deep = "<dir name=\"a\">".repeat(100_000);
        let odb = Odb::from_xml(deep.as_bytes()).unwrap();
        assert_eq!(odb.damages()[0].kind, OdbDamageKind::CutShort);
    }
}
