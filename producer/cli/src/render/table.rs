//! Tables that fit the terminal.
//!
//! Ids and states are shown whole at any width. In a narrow terminal, other columns give way: texts are cut or wrapped,
//! and then columns are hidden in the order of their ranks.

use std::{borrow::Cow, fmt};

pub(crate) use comfy_table::Color;
use comfy_table::{CellAlignment, ColumnConstraint, Width as Fixed, presets};
use longshore_protocol::encryption::describe_encrypted;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::text::grouped;

/// The space between two columns.
const GAP: usize = 2;

/// Texts are not cut or wrapped to less than this.
const SHORTEST: usize = 20;

/// How many characters fit in a line of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Width(Option<usize>);

impl Width {
    /// Any number: files and pipes have no width.
    pub(crate) const UNLIMITED: Self = Self(None);

    /// That of the terminal, if stdout is one.
    pub(crate) fn of_terminal() -> Self {
        Self(comfy_table::Table::new().width().map(usize::from))
    }

    #[cfg(test)]
    pub(crate) fn of(characters: usize) -> Self {
        Self(Some(characters))
    }
}

/// What a column does in a narrow terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It stays as it is.
    Whole,
    /// Its texts are cut.
    Cut,
    /// Its texts continue on the next line.
    Wrap,
    /// It is hidden: 1 first.
    Hide(u8),
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    fit: Fit,
    right: bool,
}

impl Column {
    const fn new(name: &'static str, fit: Fit) -> Self {
        let right = false;
        Self { name, fit, right }
    }

    /// A column of numbers, aligned to the right.
    pub(crate) const fn right(self) -> Self {
        Self {
            right: true,
            ..self
        }
    }
}

/// A column that is shown whole at any width, as ids are.
pub(crate) const fn whole(name: &'static str) -> Column {
    Column::new(name, Fit::Whole)
}

/// A column of texts that may be cut.
pub(crate) const fn cut(name: &'static str) -> Column {
    Column::new(name, Fit::Cut)
}

/// A column of texts that must be read to their end.
pub(crate) const fn wrap(name: &'static str) -> Column {
    Column::new(name, Fit::Wrap)
}

/// A column that is hidden if there is no room: rank 1 first.
pub(crate) const fn hide(rank: u8, name: &'static str) -> Column {
    Column::new(name, Fit::Hide(rank))
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    color: Option<Color>,
}

impl Cell {
    pub(crate) fn new(text: impl fmt::Display) -> Self {
        Self {
            text: describe_encrypted(&text.to_string()).into_owned(),
            color: None,
        }
    }

    /// The cell in a colour, on a terminal and unless `NO_COLOR` is set.
    pub(crate) fn color(self, color: Color) -> Self {
        Self {
            color: Some(color),
            ..self
        }
    }

    /// The text in at most so many characters.
    fn shortened(&self, width: usize) -> Cow<'_, str> {
        if self.text.width() <= width {
            return Cow::Borrowed(&self.text);
        }
        let mut text = String::new();
        let mut left = width.saturating_sub(1);
        for c in self.text.chars() {
            let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else {
                break;
            };
            left = rest;
            text.push(c);
        }
        text.push('…');
        Cow::Owned(text)
    }
}

impl<T: fmt::Display> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// A number with thousands separators.
pub(crate) fn number(number: impl TryInto<u64>) -> Cell {
    Cell::new(grouped(number))
}

/// A highlighted cell: something needs attention.
pub(crate) fn attention(cell: Cell) -> Cell {
    cell.color(Color::Yellow)
}

/// A cell in the colour of a failure.
pub(crate) fn alarm(cell: Cell) -> Cell {
    cell.color(Color::Red)
}

/// A state of a job, a chain or an attempt in its colour. `shown` may say more than the state.
pub(crate) fn state_cell(state: &str, shown: impl fmt::Display) -> Cell {
    let cell = Cell::new(shown);
    match state {
        "completed" => cell.color(Color::Green),
        "failed" | "discarded" | "lost" => alarm(cell),
        "retryable" | "stopping" => attention(cell),
        "running" => cell.color(Color::Cyan),
        "cancelled" => cell.color(Color::DarkGrey),
        _ => cell,
    }
}

/// A table without borders.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    has_header: bool,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            has_header: true,
            rows: Vec::new(),
        }
    }

    /// A table of names and numbers.
    pub(crate) fn without_header() -> Self {
        Self {
            has_header: false,
            ..Self::new([whole(""), whole("").right()])
        }
    }

    /// Adds a row; it has a cell for each column.
    pub(crate) fn add_row<C: Into<Cell>>(&mut self, row: impl IntoIterator<Item = C>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// The table at this width. Its last line names the columns that it hides.
    pub(crate) fn fitted(&self, width: Width) -> String {
        let widths = self.column_widths(width);
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        let shown = |row: Vec<comfy_table::Cell>| {
            let cells = row.into_iter().zip(&widths);
            let cells = cells.filter_map(|(cell, width)| width.map(|_| cell));
            cells.collect::<Vec<_>>()
        };
        if self.has_header {
            let names = self
                .columns
                .iter()
                .map(|column| aligned(column.name, *column));
            table.set_header(shown(names.collect()));
        }
        for row in &self.rows {
            let cells = self.columns.iter().zip(&widths).zip(row);
            let cells = cells.map(|((column, width), cell)| {
                let text = match (column.fit, width) {
                    (Fit::Cut, Some(width)) => cell.shortened(*width),
                    _ => Cow::Borrowed(cell.text.as_str()),
                };
                let shown = aligned(&text, *column);
                match cell.color {
                    Some(color) => shown.fg(color),
                    None => shown,
                }
            });
            table.add_row(shown(cells.collect()));
        }
        self.constrain(&mut table, &widths);
        let hidden: Vec<&str> = self
            .columns
            .iter()
            .zip(&widths)
            .filter(|(_, width)| width.is_none())
            .map(|(column, _)| column.name)
            .collect();
        if hidden.is_empty() {
            table.trim_fmt()
        } else {
            format!(
                "{}\n(--wide also shows {})",
                table.trim_fmt(),
                hidden.join(", ")
            )
        }
    }

    /// The width of each column; `None` hides it.
    fn column_widths(&self, width: Width) -> Vec<Option<usize>> {
        let natural = self.natural_widths();
        let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
        let Width(Some(width)) = width else {
            return widths;
        };
        while self.least(&widths) > width {
            let ranks = self.columns.iter().zip(&widths).enumerate();
            let next = ranks.filter_map(|(at, (column, width))| match column.fit {
                Fit::Hide(rank) if width.is_some() => Some((rank, at)),
                _ => None,
            });
            let Some((_, at)) = next.min() else { break };
            if let Some(hidden) = widths.get_mut(at) {
                *hidden = None;
            }
        }
        // What is left is shared by the texts, the shortest first.
        let mut texts: Vec<usize> = (0..natural.len())
            .filter(|at| self.is_flexible(*at))
            .collect();
        texts.sort_by_key(|at| natural.get(*at));
        let mut spare = width.saturating_sub(self.least(&widths));
        for (done, at) in texts.iter().enumerate() {
            let Some(Some(shown)) = widths.get_mut(*at) else {
                continue;
            };
            let least = SHORTEST.min(*shown);
            let more = (*shown - least).min(spare / (texts.len() - done));
            *shown = least + more;
            spare -= more;
        }
        widths
    }

    /// The width of each column with its longest text.
    fn natural_widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| column.name.width())
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                let longest = cell.text.lines().map(str::width).max();
                *width = (*width).max(longest.unwrap_or_default());
            }
        }
        widths
    }

    fn is_flexible(&self, at: usize) -> bool {
        let column = self.columns.get(at);
        column.is_some_and(|column| matches!(column.fit, Fit::Cut | Fit::Wrap))
    }

    /// The least width of a table with these columns.
    fn least(&self, widths: &[Option<usize>]) -> usize {
        let shown = widths.iter().enumerate().filter_map(|(at, width)| {
            let width = (*width)?;
            Some(if self.is_flexible(at) {
                width.min(SHORTEST)
            } else {
                width
            })
        });
        let (count, sum) = shown.fold((0, 0), |(count, sum), width| (count + 1, sum + width));
        sum + GAP * usize::saturating_sub(count, 1)
    }

    fn constrain(&self, table: &mut comfy_table::Table, widths: &[Option<usize>]) {
        let shown = self
            .columns
            .iter()
            .zip(widths)
            .filter_map(|(column, width)| Some((column, (*width)?)));
        for (at, (column, width)) in shown.enumerate() {
            let Some(drawn) = table.column_mut(at) else {
                continue;
            };
            let left = u16::from(at > 0);
            drawn.set_padding((left, 1));
            if column.fit == Fit::Wrap {
                let width = u16::try_from(width).unwrap_or(u16::MAX);
                let width = width.saturating_add(left + 1);
                drawn.set_constraint(ColumnConstraint::Absolute(Fixed::Fixed(width)));
            }
        }
    }
}

fn aligned(text: &str, column: Column) -> comfy_table::Cell {
    let cell = comfy_table::Cell::new(text);
    if column.right {
        cell.set_alignment(CellAlignment::Right)
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> Table {
        let mut table = Table::new([
            whole("ID"),
            whole("STATE"),
            hide(1, "QUEUE"),
            hide(2, "ATTEMPTS").right(),
            cut("PROMPT"),
        ]);
        for (id, state) in [
            ("0193a1f2-5b7c-7d3e-9f10-2233445566aa", "completed"),
            ("inv-42", "running"),
        ] {
            table.add_row([
                Cell::new(id),
                state_cell(state, state),
                Cell::new("default"),
                number(1234_u64),
                Cell::new("Name three primary colours and say why, please."),
            ]);
        }
        table
    }

    #[test]
    fn narrow_tables_cut_texts_and_then_hide_columns() {
        insta::assert_snapshot!(jobs().fitted(Width::UNLIMITED), @"
        ID                                    STATE      QUEUE    ATTEMPTS  PROMPT
        0193a1f2-5b7c-7d3e-9f10-2233445566aa  completed  default     1,234  Name three primary colours and say why, please.
        inv-42                                running    default     1,234  Name three primary colours and say why, please.
        ");
        insta::assert_snapshot!(jobs().fitted(Width::of(100)), @"
        ID                                    STATE      QUEUE    ATTEMPTS  PROMPT
        0193a1f2-5b7c-7d3e-9f10-2233445566aa  completed  default     1,234  Name three primary colours and …
        inv-42                                running    default     1,234  Name three primary colours and …
        ");
        insta::assert_snapshot!(jobs().fitted(Width::of(80)), @"
        ID                                    STATE      ATTEMPTS  PROMPT
        0193a1f2-5b7c-7d3e-9f10-2233445566aa  completed     1,234  Name three primary c…
        inv-42                                running       1,234  Name three primary c…
        (--wide also shows QUEUE)
        ");
        // Nothing is left to hide: the terminal breaks the lines.
        insta::assert_snapshot!(jobs().fitted(Width::of(20)), @"
        ID                                    STATE      PROMPT
        0193a1f2-5b7c-7d3e-9f10-2233445566aa  completed  Name three primary …
        inv-42                                running    Name three primary …
        (--wide also shows QUEUE, ATTEMPTS)
        ");
    }

    #[test]
    fn wrapped_texts_stay_in_their_column() {
        let mut table = Table::new([whole("STEP"), wrap("OUTCOME")]);
        table.add_row([
            "limits",
            "groq has no room: 30 requests per minute are used until 12:00:30",
        ]);
        table.add_row(["price", "4 of 6"]);
        insta::assert_snapshot!(table.fitted(Width::of(40)), @"
        STEP    OUTCOME
        limits  groq has no room: 30 requests
                per minute are used until
                12:00:30
        price   4 of 6
        ");
    }

    #[test]
    fn wide_characters_count_twice() {
        let mut table = Table::new([cut("TEXT")]);
        table.add_row(["日本語のとても長い文章です。"]);
        assert_eq!(table.fitted(Width::of(20)), "TEXT\n日本語のとても長い…");
    }
}
