//! Tables.

use std::fmt;

pub(crate) use comfy_table::Cell;
use comfy_table::{CellAlignment, Color, ContentArrangement, Row, presets};

use super::text::grouped;

/// A table without borders; its last column wraps at the width of the terminal.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn new(header: impl Into<Row>) -> Self {
        let mut table = Self::without_header();
        table
            .0
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(header);
        table.flush_left();
        table
    }

    /// A table of names and numbers.
    pub(crate) fn without_header() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        Self(table)
    }

    pub(crate) fn add_row(&mut self, row: impl Into<Row>) {
        self.0.add_row(row);
        self.flush_left();
    }

    fn flush_left(&mut self) {
        if let Some(first) = self.0.column_mut(0) {
            first.set_padding((0, 1));
        }
    }
}

/// Omits the spaces that fill the last column.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.trim_fmt())
    }
}

/// A cell aligned to the right.
pub(crate) fn right(text: impl fmt::Display) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// A number aligned to the right.
pub(crate) fn number(number: impl TryInto<u64>) -> Cell {
    right(grouped(number))
}

/// A highlighted cell: something needs attention.
pub(crate) fn attention(cell: Cell) -> Cell {
    cell.fg(Color::Yellow)
}

/// A cell in the colour of a failure.
pub(crate) fn alarm(cell: Cell) -> Cell {
    cell.fg(Color::Red)
}
