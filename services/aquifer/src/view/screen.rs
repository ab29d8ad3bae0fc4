//! The live screen.

use std::io;
use std::time::Duration;

use aquifer_catalogue::RunRow;
use aquifer_schemas::RunState;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, Wrap};

use super::Model;
use crate::output;

/// The way of a run, as far as this version carries it.
const WAY: [RunState; 3] = [RunState::Open, RunState::Closed, RunState::Stored];

/// Between hints in one line.
const GAP: &str = "    ";

/// Lines that a note may take.
const NOTE_LINES: u16 = 2;

/// What the person at the terminal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To go on watching.
    Watch,
    /// To leave.
    Leave,
}

/// Owns the terminal while it lives.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
    title: String,
    hints: Vec<String>,
}

impl Screen {
    /// Takes the terminal over; `hints` stand at the bottom.
    pub(crate) fn open(title: String, hints: Vec<String>) -> io::Result<Self> {
        Ok(Self {
            terminal: ratatui::try_init()?,
            title,
            hints,
        })
    }

    /// Draws the model.
    pub(crate) fn show(&mut self, model: &Model, note: &str) -> io::Result<()> {
        let (title, hints) = (&self.title, &self.hints);
        self.terminal
            .draw(|frame| draw(frame, title, hints, model, note))?;
        Ok(())
    }

    /// Waits up to `patience` for a key. Blocking.
    pub(crate) fn wish(patience: Duration) -> io::Result<Wish> {
        if !event::poll(patience)? {
            return Ok(Wish::Watch);
        }
        let Event::Key(key) = event::read()? else {
            return Ok(Wish::Watch);
        };
        let interrupt =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        let quit = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
        Ok(if key.kind == KeyEventKind::Press && (interrupt || quit) {
            Wish::Leave
        } else {
            Wish::Watch
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(frame: &mut Frame<'_>, title: &str, hints: &[String], model: &Model, note: &str) {
    let hints = wrapped(hints, usize::from(frame.area().width));
    let bottom = hints.len() as u16 + 1 + NOTE_LINES;
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(4),
        Constraint::Min(4),
        Constraint::Length(bottom),
    ])
    .areas(frame.area());
    frame.render_widget(summary(title, model), head);
    frame.render_widget(runs(model, body), body);
    let mut lines: Vec<Line<'_>> = hints
        .into_iter()
        .map(|hint| Line::from(hint).dim())
        .collect();
    lines.push(Line::from(note.to_owned()).yellow());
    let foot_block = Block::new().borders(Borders::TOP);
    let text = Paragraph::new(lines).wrap(Wrap { trim: true });
    frame.render_widget(text.block(foot_block), foot);
}

/// Hints side by side, as many as fit into a line.
fn wrapped(hints: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for hint in hints {
        match lines.last_mut() {
            Some(line) if line.len() + GAP.len() + hint.len() <= width => {
                line.push_str(GAP);
                line.push_str(hint);
            }
            _ => lines.push(hint.clone()),
        }
    }
    lines
}

fn summary<'a>(title: &'a str, model: &'a Model) -> Paragraph<'a> {
    let mut counts: Vec<Span<'_>> = Vec::new();
    for (state, count) in &model.counts {
        counts.push(Span::styled(
            format!("{count} {state}"),
            Style::new().fg(colour(*state)).add_modifier(Modifier::BOLD),
        ));
        counts.push(Span::raw("   "));
    }
    if model.waiting > 0 {
        counts.push(Span::raw(format!("{} announcements under way", model.waiting)).dim());
    }
    let block = Block::new().borders(Borders::BOTTOM);
    let legend = WAY.map(|state| format!("● {state}")).join("  ");
    Paragraph::new(vec![
        Line::from(title).bold(),
        Line::from(format!("the way of a run: {legend}")).dim(),
        Line::from(counts),
    ])
    .block(block)
}

/// A column: its title, its width, the least width of the screen on which it is shown,
/// and what stands in it.
type Column = (&'static str, u16, u16, for<'a> fn(&'a RunRow) -> Cell<'a>);

const COLUMNS: [Column; 8] = [
    ("RUN", 14, 0, |run| Cell::from(run.id.to_string()).bold()),
    ("WAY", 6, 0, |run| Cell::from(way(run.state))),
    ("", 11, 0, |run| {
        Cell::from(run.state.to_string()).style(Style::new().fg(colour(run.state)))
    }),
    ("TYPE", 12, 70, |run| {
        Cell::from(run.run_type.clone().unwrap_or_default())
    }),
    ("ENDED UTC", 9, 0, |run| Cell::from(clock(run))),
    ("SIZE", 10, 0, |run| Cell::from(size(run))),
    ("EVENTS", 8, 90, |run| {
        Cell::from(
            run.events
                .map_or_else(String::new, |events| events.to_string()),
        )
    }),
    ("CLOSED BY", 9, 90, |run| {
        Cell::from(run.closed_by.map_or_else(String::new, |by| by.to_string()))
    }),
];

fn runs(model: &Model, area: Rect) -> Table<'_> {
    let shown = || {
        let columns = COLUMNS.iter();
        columns.filter(move |(_, _, least, _)| area.width >= *least)
    };
    let header = Row::new(shown().map(|(title, ..)| *title)).style(Style::new().dim());
    let visible = usize::from(area.height.saturating_sub(1));
    let runs = model.runs.iter().take(visible);
    let rows = runs.map(|run| Row::new(shown().map(|(.., cell)| cell(run))));
    let widths = shown().map(|(_, width, ..)| Constraint::Length(*width));
    Table::new(rows, widths).header(header)
}

/// The time of day at which the run ended.
fn clock(run: &RunRow) -> String {
    run.ended_at
        .map_or_else(String::new, |at| at.strftime("%H:%M:%S").to_string())
}

/// The run's size; of an open one nothing is known.
fn size(run: &RunRow) -> String {
    if run.state == RunState::Open {
        String::new()
    } else {
        output::size(run.bytes)
    }
}

/// Three steps, as far as the run has come.
fn way(state: RunState) -> Line<'static> {
    let reached = match state {
        RunState::Open => 1,
        RunState::Closed
        | RunState::Incomplete
        | RunState::Quarantined
        | RunState::Adopted
        | RunState::Missing => 2,
        RunState::Stored | RunState::Safe | RunState::BufferFree | RunState::Degraded => WAY.len(),
    };
    let steps = (0..WAY.len()).map(|step| {
        if step < reached {
            Span::styled("● ", Style::new().fg(colour(state)))
        } else {
            Span::raw("○ ").dim()
        }
    });
    Line::from(steps.collect::<Vec<_>>())
}

fn colour(state: RunState) -> Color {
    match state {
        RunState::Open => Color::Blue,
        RunState::Closed => Color::Yellow,
        RunState::Stored | RunState::Safe | RunState::BufferFree => Color::Green,
        RunState::Incomplete | RunState::Degraded => Color::Magenta,
        RunState::Quarantined | RunState::Missing => Color::Red,
        RunState::Adopted => Color::Gray,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aquifer_schemas::{ClosedBy, RunId, Site};
    use jiff::Timestamp;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn row(number: u64, state: RunState, closed_by: Option<ClosedBy>) -> RunRow {
        let site: Site = "LAB".parse().unwrap();
        let at: Timestamp = "2026-11-22T10:11:12Z".parse().unwrap();
        RunRow {
            row: number,
            id: RunId::first(site, number),
            state,
            revision: 1,
            run_type: Some("calibration".to_owned()),
            type_by: None,
            started_at: Some(at),
            ended_at: closed_by.map(|_| at),
            closed_by,
            events: closed_by.map(|_| 5),
            files: 1,
            sealed_files: 1,
            bytes: closed_by.map_or(0, |_| 413_300),
            trace: None,
            manifest_key: None,
            stored_at: None,
            taken_at: at,
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn the_screen_is_readable_in_small_terminals_too() {
        let mut model = Model::default();
        let runs = vec![
            row(1234, RunState::Open, None),
            row(1233, RunState::Quarantined, Some(ClosedBy::Inferred)),
            row(1232, RunState::Stored, Some(ClosedBy::Daq)),
        ];
        let counts = BTreeMap::from([(RunState::Stored, 1232), (RunState::Open, 1)]);
        model.update(runs, counts, 3);
        let hints = [
            "q or Ctrl-C stops everything.",
            "aquifer runs list",
            "aquifer stack show",
        ]
        .map(str::to_owned);
        let screens = [(120, 12), (80, 14), (60, 14)].map(|(width, height)| {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            let note = "mariadb ended with signal: 9 (SIGKILL); m2c was started again";
            terminal
                .draw(|frame| draw(frame, "aquifer: runs of LAB", &hints, &model, note))
                .unwrap();
            terminal.backend().to_string()
        });
        insta::assert_snapshot!(screens.join("\n"));
    }
}
