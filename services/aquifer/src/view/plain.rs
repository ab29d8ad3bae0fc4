//! One line per change, for pipes and logs.

use aquifer_catalogue::RunRow;

use super::Model;
use crate::output;

/// Prints what moved.
pub(crate) struct Plain;

impl Plain {
    /// Prints a line for each run that changed its state.
    pub(crate) fn show(model: &Model) -> std::io::Result<()> {
        model
            .moved
            .iter()
            .try_for_each(|run| output::line(describe(run)))
    }
}

fn describe(run: &RunRow) -> String {
    let time = output::time(run.updated_at);
    let size = output::size(run.bytes);
    match run.closed_by {
        Some(by) => {
            let closer = output::closer(by);
            format!(
                "{time}  {}  {}  {size}  closed by {closer}",
                run.id, run.state
            )
        }
        None => format!("{time}  {}  {}", run.id, run.state),
    }
}
