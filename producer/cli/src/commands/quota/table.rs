//! The table of seed 000.

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) platform: String,
    pub(crate) used: String,
    pub(crate) limit: String,
    pub(crate) remaining: String,
    pub(crate) reset: String,
    /// Which limit it is, where a platform has several.
    pub(crate) limit_of: String,
}

/// A column: its name, the length of the rule under it, and whether the rule grows with the column.
type Column = (&'static str, usize, bool);

const COLUMNS: [Column; 6] = [
    ("Platform", 11, true),
    ("Used", 5, true),
    ("Limit", 6, true),
    ("Remaining", 10, true),
    ("Reset", 15, false),
    ("Limit of", 8, false),
];

impl Line {
    fn cells(&self) -> [&str; 6] {
        [
            &self.platform,
            &self.used,
            &self.limit,
            &self.remaining,
            &self.reset,
            &self.limit_of,
        ]
    }
}

/// Draws the table with its header; the last column only where it is to be `named` which limit is which.
pub(crate) fn draw(lines: &[Line], named: bool) -> String {
    let shown = COLUMNS.len() - usize::from(!named);
    let mut widths = COLUMNS.map(|(_, rule, _)| rule);
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line.cells()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let row = |cells: [&str; 6]| {
        let cells = cells.into_iter().zip(widths).take(shown);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("   ").trim_end().to_owned()
    };
    let mut rules = COLUMNS.map(|(_, rule, _)| rule);
    for ((rule, (_, _, grows)), width) in rules.iter_mut().zip(COLUMNS).zip(widths) {
        if grows {
            *rule = width;
        }
    }
    let rules = rules.map(|rule| "-".repeat(rule));
    let mut text = vec![
        row(COLUMNS.map(|(name, ..)| name)),
        row(rules.each_ref().map(String::as_str)),
    ];
    text.extend(lines.iter().map(|line| row(line.cells())));
    text.join("\n")
}
