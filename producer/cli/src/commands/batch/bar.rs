//! The bar that shows how far a batch is.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use longshore_client::Usd;

use crate::{commands::submit::money::dollars, output};

/// What has come so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) total: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) cost: Usd,
}

/// A bar on stderr, where somebody sees it.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        // A bar of length 0 is shown full.
        let bar = ProgressBar::no_length();
        if let Ok(style) =
            ProgressStyle::with_template("{wide_bar} {pos}/{len} done, {msg} {elapsed}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        let bar = Self(bar);
        bar.show(&Tally::default());
        bar
    }

    pub(super) fn show(&self, tally: &Tally) {
        if tally.total > 0 {
            self.0.set_length(tally.total);
        }
        self.0.set_position(tally.done);
        self.0
            .set_message(format!("{} failed, {}", tally.failed, dollars(tally.cost)));
    }

    /// A line above the bar.
    pub(super) fn note(&self, text: &str) {
        self.0.suspend(|| output::note(text));
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
