//! What was found out about a storage element, and what it means for the data.

use aquifer_storage::{Capabilities, Races};
use jiff::Timestamp;
use serde::Serialize;

/// The answers of one probe.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    /// Name of the element.
    pub element: String,
    /// URL of the server.
    pub endpoint: String,
    /// Bucket.
    pub bucket: String,
    /// When it was asked.
    pub probed_at: Timestamp,
    /// What it was seen to do.
    pub capabilities: Capabilities,
    /// What came of writers at one moment.
    pub races: Races,
}

/// One answer, for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What was asked.
    pub question: &'static str,
    /// Whether the server does it.
    pub yes: bool,
    /// What that means.
    pub meaning: &'static str,
}

impl Findings {
    /// Puts the findings together. What was lost in a race is not done, whatever a
    /// single request was answered.
    pub(crate) fn new(
        (element, endpoint, bucket): (&str, &str, &str),
        probed_at: Timestamp,
        mut capabilities: Capabilities,
        races: Races,
    ) -> Self {
        capabilities.conditional_put &= races.lost_by_put == 0;
        capabilities.conditional_complete &= races.lost_by_complete == 0;
        Self {
            element: element.to_owned(),
            endpoint: endpoint.to_owned(),
            bucket: bucket.to_owned(),
            probed_at,
            capabilities,
            races,
        }
    }

    /// Whether data that are stored here are proven and cannot be overwritten.
    pub(crate) fn is_safe(&self) -> bool {
        self.capabilities.enforces_checksums() && self.capabilities.conditional_put
    }

    /// Each answer with its meaning.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        let found = self.capabilities;
        let answer = |question, yes, if_yes, if_no| Answer {
            question,
            yes,
            meaning: if yes { if_yes } else { if_no },
        };
        vec![
            answer(
                "refuses a wrong checksum",
                found.refuses_wrong_checksum,
                "bytes that were damaged on the way are not stored",
                "its checksums prove nothing: copies count as E1 until they are read back",
            ),
            answer(
                "refuses a wrong checksum of the whole",
                found.refuses_wrong_full_object_checksum,
                "the parts of a large file are proven to make up the file",
                "large files count as E1 until they are read back, and are not resumed",
            ),
            answer(
                "tells the checksum it keeps",
                found.echoes_checksum,
                "a copy can be compared without reading it",
                "a copy is compared by reading all of it",
            ),
            answer(
                "keeps two writers of one object apart",
                found.conditional_put,
                "what is stored is never overwritten",
                "two writers overwrite each other: put the generation of the lease into the key",
            ),
            answer(
                "keeps two completions of one object apart",
                found.conditional_complete,
                "large files need no more than the server's own guard",
                "large files are guarded by a claim beside the object, if writers are kept apart",
            ),
            answer(
                "lists unfinished uploads",
                found.lists_multipart,
                "uploads are resumed after a crash, and orphans are found",
                "uploads begin anew after a crash, and what they leave stays unseen",
            ),
            answer(
                "lets us delete",
                found.deletes,
                "the probe left nothing behind",
                "the probe's objects stay, below `.aquifer-probe/`",
            ),
            answer(
                "takes unsigned payloads",
                found.unsigned_payload,
                "an upload costs half of the processor time",
                "payloads are signed: the link is not safe, the server wants it, or \
                 `storage.unsigned-payload` says so",
            ),
        ]
    }

    /// The races in one line.
    pub(crate) fn races(&self) -> String {
        let Races {
            rounds,
            writers,
            lost_by_put,
            lost_by_complete,
        } = self.races;
        if rounds == 0 {
            return "no races were held".to_owned();
        }
        format!(
            "{rounds} races of {writers} writers each: {lost_by_put} of puts and \
             {lost_by_complete} of completions had not exactly one winner"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(capabilities: Capabilities, races: Races) -> Findings {
        let probed_at = Timestamp::UNIX_EPOCH;
        let names = ("S3", "https://s3.example.org", "raw");
        Findings::new(names, probed_at, capabilities, races)
    }

    fn table(findings: &Findings) -> String {
        let lines = findings.answers().into_iter().map(|answer| {
            let yes = if answer.yes { "yes" } else { "no" };
            format!("{:<42} {yes:<4} {}\n", answer.question, answer.meaning)
        });
        lines.collect::<String>() + &findings.races()
    }

    #[test]
    fn an_honest_server() {
        let races = Races {
            rounds: 3,
            writers: 8,
            ..Races::default()
        };
        let findings = findings(Capabilities::ALL, races);
        assert!(findings.is_safe());
        insta::assert_snapshot!(table(&findings));
    }

    #[test]
    fn a_server_that_does_nothing_of_it() {
        let findings = findings(Capabilities::default(), Races::default());
        assert!(!findings.is_safe());
        insta::assert_snapshot!(table(&findings));
    }

    #[test]
    fn a_race_that_was_lost_weighs_more_than_a_single_answer() {
        let races = Races {
            rounds: 3,
            writers: 8,
            lost_by_put: 1,
            lost_by_complete: 2,
        };
        let findings = findings(Capabilities::ALL, races);
        assert!(!findings.capabilities.conditional_put);
        assert!(!findings.capabilities.conditional_complete);
        assert!(!findings.is_safe());
        insta::assert_snapshot!(findings.races());
    }
}
