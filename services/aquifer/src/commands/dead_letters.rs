//! `aquifer dead-letters`: messages that nobody could handle, and their way back.

use std::process::ExitCode;

use aquifer_bus::Producer;
use aquifer_bus::dead_letters::{Buried, dismiss, list, replay};
use aquifer_schemas::{CodecError, DeadLetter};
use uuid::Uuid;

use crate::cli::DeadLettersCommand;
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Lists, replays or dismisses.
pub(super) async fn run(config: Config, command: DeadLettersCommand) -> anyhow::Result<ExitCode> {
    let letters = list(&config.kafka).await?;
    match command {
        DeadLettersCommand::List { json: true } => {
            let readable: Vec<_> = readable(&letters).collect();
            output::json(&readable)?;
        }
        DeadLettersCommand::List { json: false } => {
            let rows = readable(&letters).map(|letter| {
                vec![
                    letter.event_id.to_string(),
                    output::time(letter.failed_at),
                    letter.origin_topic.clone(),
                    format!("{}:{}", letter.origin_partition, letter.origin_offset),
                    letter.reason.to_string(),
                    letter.error.clone(),
                ]
            });
            output::table(&["ID", "FAILED", "TOPIC", "AT", "REASON", "ERROR"], rows)?;
            for (buried, error) in letters.iter().filter_map(unreadable) {
                output::line(format!(
                    "letter at {}:{} cannot be read: {error}",
                    buried.partition, buried.offset
                ))?;
            }
        }
        DeadLettersCommand::Replay { id } => {
            let letter = find(&letters, id)?;
            let producer = Producer::connect(&config.kafka)?;
            replay(&producer, letter).await?;
            output::line(format!("replayed to {}", letter.origin_topic))?;
        }
        DeadLettersCommand::Dismiss { id } => {
            let letter = find(&letters, id)?;
            let producer = Producer::connect(&config.kafka)?;
            dismiss(&producer, letter).await?;
            output::line(format!("dismissed {id}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(letters: &[Buried], id: Uuid) -> anyhow::Result<&DeadLetter> {
    let found = readable(letters).find(|letter| letter.event_id == id);
    found.ok_or_else(|| {
        let what = format!("no dead letter has the id {id}");
        Hinted::new(what, "`aquifer dead-letters list` shows them").into()
    })
}

fn readable(letters: &[Buried]) -> impl Iterator<Item = &DeadLetter> {
    letters
        .iter()
        .filter_map(|buried| buried.letter.as_ref().ok())
}

fn unreadable(buried: &Buried) -> Option<(&Buried, &CodecError)> {
    Some((buried, buried.letter.as_ref().err()?))
}
