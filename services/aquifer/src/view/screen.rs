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
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};

use super::Model;
use crate::output;

/// The way of a run, as far as this version carries it.
const WAY: [RunState; 3] = [RunState::Open, RunState::Closed, RunState::Stored];

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
    let bottom = hints.len() as u16 + 2;
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(4),
        Constraint::Min(4),
        Constraint::Length(bottom),
    ])
    .areas(frame.area());
    frame.render_widget(summary(title, model), head);
    frame.render_widget(runs(model, body), body);
    let mut lines: Vec<Line<'_>> = hints
        .iter()
        .map(|hint| Line::from(hint.as_str()).dim())
        .collect();
    lines.push(Line::from(note.to_owned()).yellow());
    let foot_block = Block::new().borders(Borders::TOP);
    frame.render_widget(Paragraph::new(lines).block(foot_block), foot);
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
    Paragraph::new(vec![
        Line::from(title).bold(),
        Line::default(),
        Line::from(counts),
    ])
    .block(block)
}

fn runs(model: &Model, area: Rect) -> Table<'_> {
    let header = Row::new([
        "RUN",
        "WAY",
        "",
        "TYPE",
        "ENDED (UTC)",
        "EVENTS",
        "SIZE",
        "CLOSED BY",
    ])
    .style(Style::new().dim());
    let visible = usize::from(area.height.saturating_sub(1));
    let rows = model.runs.iter().take(visible).map(row);
    let widths = [
        Constraint::Length(14),
        Constraint::Length(9),
        Constraint::Length(12),
        Constraint::Length(12),
        Constraint::Length(20),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Min(8),
    ];
    Table::new(rows, widths).header(header)
}

fn row(run: &RunRow) -> Row<'_> {
    Row::new([
        Cell::from(run.id.to_string()).bold(),
        Cell::from(way(run.state)),
        Cell::from(run.state.to_string()).style(Style::new().fg(colour(run.state))),
        Cell::from(run.run_type.clone().unwrap_or_default()),
        Cell::from(output::time_or_dash(run.ended_at)),
        Cell::from(
            run.events
                .map_or_else(String::new, |events| events.to_string()),
        ),
        Cell::from(output::size(run.bytes)),
        Cell::from(run.closed_by.map_or_else(String::new, |by| by.to_string())),
    ])
}

/// Three steps, as far as the run has come.
fn way(state: RunState) -> Line<'static> {
    let reached = match state {
        RunState::Open => 1,
        RunState::Closed | RunState::Incomplete | RunState::Quarantined => 2,
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
        RunState::Quarantined => Color::Red,
    }
}
