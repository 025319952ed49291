//! Progress bars and spinners on stderr; hidden if stderr is not a terminal.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// A progress bar or spinner.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A spinner with a message that may have several lines and change.
    pub(crate) fn spinner(template: &str, message: &str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(message.to_owned());
        Self::ticking(bar, template, Duration::from_millis(100))
    }

    /// A bar of unknown length; a bar of length 0 would look full.
    pub(crate) fn bar(template: &str) -> Self {
        Self::ticking(
            ProgressBar::no_length(),
            template,
            Duration::from_millis(250),
        )
    }

    /// A bar that nobody sees.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// A bar of `length` items, which advances as items complete.
    pub(crate) fn count(template: &str, length: u64) -> Self {
        Self::styled(ProgressBar::new(length), template)
    }

    fn ticking(bar: ProgressBar, template: &str, tick: Duration) -> Self {
        let bar = Self::styled(bar, template);
        if bar.is_visible() {
            bar.0.enable_steady_tick(tick);
        }
        bar
    }

    fn styled(bar: ProgressBar, template: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self::hidden();
        }
        let bar = Self(bar);
        bar.set_template(template);
        bar
    }

    pub(crate) fn set_template(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
    }

    pub(crate) fn is_visible(&self) -> bool {
        !self.0.is_hidden()
    }

    pub(crate) fn set_message(&self, message: String) {
        self.0.set_message(message);
    }

    pub(crate) fn set_prefix(&self, prefix: String) {
        self.0.set_prefix(prefix);
    }

    /// Sets the position to `done` of `length`; a `length` of 0 means unknown.
    pub(crate) fn set(&self, done: u64, length: u64) {
        if length > 0 {
            self.0.set_length(length);
        }
        self.0.set_position(done);
    }

    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// Prints a line to stderr, above the bar.
    pub(crate) fn note(&self, text: &str) {
        self.0.suspend(|| output::note(text));
    }

    /// Prints a line to stdout, above the bar.
    pub(crate) fn line(&self, text: &str) {
        self.0.suspend(|| output::line(text));
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
