//! How far it is, on a terminal: one line of standard error, drawn again from time to
//! time. Elsewhere nothing.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::output;

/// How often the line is drawn.
const DRAW: Duration = Duration::from_millis(200);

/// Columns of the bar.
const BAR: u64 = 30;

/// Draws how many of `total` bytes have arrived, until it is dropped by whoever waits for
/// something else.
pub(super) async fn draw(arrived: Arc<AtomicU64>, total: u64) {
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let _wiped = Line;
    let began = Instant::now();
    let before = arrived.load(Ordering::Relaxed);
    loop {
        let now = arrived.load(Ordering::Relaxed);
        Line::show(&text(
            now,
            now.saturating_sub(before),
            total,
            began.elapsed(),
        ));
        tokio::time::sleep(DRAW).await;
    }
}

/// The line; wiped when it is dropped.
struct Line;

impl Line {
    fn show(text: &str) {
        // Whoever has no terminal any more misses nothing.
        let _ = write!(std::io::stderr().lock(), "\r\x1b[2K{text}");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        Self::show("");
    }
}

fn text(arrived: u64, new: u64, total: u64, time: Duration) -> String {
    let arrived = arrived.min(total);
    let full = (arrived * BAR).checked_div(total).unwrap_or(BAR) as usize;
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR as usize - full));
    let rate = new as f64 / time.as_secs_f64().max(0.001);
    let left = match (total - arrived) as f64 / rate {
        secs if secs.is_finite() && new > 0 => format!(", {} s left", secs.ceil()),
        _ => String::new(),
    };
    format!(
        "[{bar}] {} of {}, {}/s{left}",
        output::size(arrived),
        output::size(total),
        output::size(rate as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_begins_empty_and_ends_full() {
        let second = Duration::from_secs(1);
        let shown = text(0, 0, 100, second);
        assert_eq!(shown, format!("[{}] 0 B of 100 B, 0 B/s", ".".repeat(30)));
        let shown = text(50, 20, 100, second);
        assert!(
            shown.ends_with("50 B of 100 B, 20 B/s, 3 s left"),
            "{shown}"
        );
        let shown = text(100, 100, 100, second);
        assert!(
            shown.starts_with(&format!("[{}]", "#".repeat(30))),
            "{shown}"
        );
        assert!(text(0, 0, 0, second).starts_with("[###"));
    }
}
