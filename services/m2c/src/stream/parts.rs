//! From encoded members to the parts of an upload. Pure.
//!
//! Storage takes at most 10 000 parts and none but the last below its least size, so
//! members are gathered until they are a part, and later parts are larger than earlier
//! ones: an open file may grow to any size. Where parts begin depends on the bytes alone,
//! so that a part sent again after a crash is the same part.

use aquifer_digest::Digests;
use bytes::{Bytes, BytesMut};

use super::encode::Member;

/// After so many parts the least size doubles.
const DOUBLE_AFTER: u32 = 2000;

/// Most parts of an upload, as S3 has it.
pub(crate) const MOST_PARTS: u32 = 10_000;

/// A part to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// Its place in the object, from 1.
    pub number: u32,
    /// Where its input begins in the file.
    pub offset: u64,
    /// Digests of its input.
    pub input: Digests,
    /// Digests of `body`.
    pub output: Digests,
    /// One or more members.
    pub body: Bytes,
}

/// Gathers members into parts.
#[derive(Debug)]
pub(crate) struct Gatherer {
    /// Least size of the first parts, in bytes.
    least: u64,
    number: u32,
    offset: u64,
    waiting: Vec<Bytes>,
    input: Digests,
    output: Digests,
}

impl Gatherer {
    /// Gathers part `number` and those after it, whose input begins at `offset`.
    pub(crate) fn at(number: u32, offset: u64, least: u64) -> Self {
        Self {
            least,
            number,
            offset,
            waiting: Vec::new(),
            input: Digests::EMPTY,
            output: Digests::EMPTY,
        }
    }

    /// Takes the next member and gives the part that it completes.
    pub(crate) fn push(&mut self, member: Member) -> Option<Part> {
        self.input = self.input.then(&member.input);
        self.output = self.output.then(&member.output);
        self.waiting.push(member.body);
        let doublings = (self.number - 1) / DOUBLE_AFTER;
        (self.output.size >= self.least << doublings).then(|| self.take())
    }

    /// The last part of the object, of what is left.
    pub(crate) fn finish(&mut self) -> Option<Part> {
        (!self.waiting.is_empty()).then(|| self.take())
    }

    /// How many parts are complete.
    pub(crate) fn complete(&self) -> u32 {
        self.number - 1
    }

    fn take(&mut self) -> Part {
        let body = match self.waiting.as_slice() {
            [one] => one.clone(),
            several => {
                let mut body = BytesMut::with_capacity(self.output.size as usize);
                for member in several {
                    body.extend_from_slice(member);
                }
                body.freeze()
            }
        };
        let part = Part {
            number: self.number,
            offset: self.offset,
            input: self.input,
            output: self.output,
            body,
        };
        *self = Self::at(self.number + 1, self.offset + self.input.size, self.least);
        part
    }
}

/// The least size of the parts of a file: as the storage has it, or as the file's size
/// demands where that is known.
pub(crate) fn least_part(of_storage: u64, size: Option<u64>) -> u64 {
    let demanded = size.map_or(0, |size| size.div_ceil(u64::from(MOST_PARTS) - 1000));
    of_storage.max(demanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(input: u64, output: usize) -> Member {
        let body = Bytes::from(vec![7; output]);
        Member {
            input: Digests {
                size: input,
                ..Digests::EMPTY
            },
            output: Digests::of(&body),
            body,
        }
    }

    proptest! {
        #[test]
        fn no_part_but_the_last_is_below_the_least_and_nothing_is_left_out(
            outputs in proptest::collection::vec(0usize..50, 1..60),
        ) {
            let mut gatherer = Gatherer::at(1, 0, 64);
            let mut parts: Vec<Part> = Vec::new();
            for &output in &outputs {
                parts.extend(gatherer.push(member(10, output)));
            }
            for part in &parts {
                prop_assert!(part.output.size >= 64);
            }
            parts.extend(gatherer.finish());
            let body: Vec<u8> = parts.iter().flat_map(|part| part.body.to_vec()).collect();
            prop_assert_eq!(body.len(), outputs.iter().sum::<usize>());
            let mut offset = 0;
            for (place, part) in parts.iter().enumerate() {
                prop_assert_eq!(part.number as usize, place + 1);
                prop_assert_eq!(part.offset, offset);
                prop_assert_eq!(part.output, Digests::of(&part.body));
                offset += part.input.size;
            }
            prop_assert_eq!(offset, 10 * outputs.len() as u64);
        }

        #[test]
        fn beginning_again_at_any_part_gives_the_same_parts(
            outputs in proptest::collection::vec(1usize..50, 1..60), again in 0usize..60,
        ) {
            let all = |gatherer: &mut Gatherer, outputs: &[usize]| {
                let mut parts: Vec<Part> = Vec::new();
                for &output in outputs {
                    parts.extend(gatherer.push(member(10, output)));
                }
                parts.extend(gatherer.finish());
                parts
            };
            let parts = all(&mut Gatherer::at(1, 0, 64), &outputs);
            let kept = again % (parts.len() + 1);
            let done: u64 = parts[..kept].iter().map(|part| part.input.size).sum();
            let mut gatherer = Gatherer::at(kept as u32 + 1, done, 64);
            let rest = all(&mut gatherer, &outputs[(done / 10) as usize..]);
            prop_assert_eq!(&rest, &parts[kept..]);
        }
    }

    #[test]
    fn an_endless_file_fits() {
        let mut bytes = 0;
        let mut gatherer = Gatherer::at(1, 0, 1);
        while gatherer.complete() < MOST_PARTS {
            bytes += 1;
            gatherer.push(member(1, 1));
        }
        // 2000 parts each of 1, 2, 4, 8 and 16 times the least size.
        assert_eq!(bytes, 2000 * 31);
    }

    #[test]
    fn a_large_closed_file_has_larger_parts() {
        let mib = 1 << 20;
        assert_eq!(least_part(5 * mib, None), 5 * mib);
        assert_eq!(least_part(5 * mib, Some(9000 * 5 * mib)), 5 * mib);
        assert!(least_part(5 * mib, Some(48 << 40)) * 9000 >= 48 << 40);
    }
}
