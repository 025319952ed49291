//! Bars and spinners on stderr; nothing where stderr is not a terminal.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// What moves while a command waits.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A spinner with a message that may have several lines and change.
    pub(crate) fn spinner(template: &str, message: &str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(message.to_owned());
        Self::shown(bar, template, Duration::from_millis(100))
    }

    /// A bar whose length is not known yet: one of length 0 would look full.
    pub(crate) fn bar(template: &str) -> Self {
        Self::shown(
            ProgressBar::no_length(),
            template,
            Duration::from_millis(250),
        )
    }

    /// A bar of so many things, which moves only when things are done.
    pub(crate) fn count(template: &str, length: u64) -> Self {
        Self::styled(ProgressBar::new(length), template)
    }

    fn shown(bar: ProgressBar, template: &str, tick: Duration) -> Self {
        let bar = Self::styled(bar, template);
        if bar.is_visible() {
            bar.0.enable_steady_tick(tick);
        }
        bar
    }

    fn styled(bar: ProgressBar, template: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn is_visible(&self) -> bool {
        !self.0.is_hidden()
    }

    pub(crate) fn set_message(&self, message: String) {
        self.0.set_message(message);
    }

    /// Moves to `done` of `length`; 0 if the length is not known yet.
    pub(crate) fn set(&self, done: u64, length: u64) {
        if length > 0 {
            self.0.set_length(length);
        }
        self.0.set_position(done);
    }

    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// A line on stderr, above what moves.
    pub(crate) fn note(&self, text: &str) {
        self.0.suspend(|| output::note(text));
    }

    /// A line on stdout.
    pub(crate) fn line(&self, text: &str) {
        self.0.suspend(|| output::line(text));
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
