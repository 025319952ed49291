//! The table of `longshore quota`: platform, used, limit, remaining, reset.

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct LimitRow {
    pub(crate) platform: String,
    pub(crate) used: String,
    pub(crate) limit: String,
    pub(crate) remaining: String,
    pub(crate) reset: String,
    /// Which limit it is, if the platform has several.
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

impl LimitRow {
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

/// The table with its header. With `named`, the last column names the limit of each row.
pub(crate) fn limit_table(rows: &[LimitRow], named: bool) -> String {
    let shown = COLUMNS.len() - usize::from(!named);
    let mut widths = COLUMNS.map(|(_, rule, _)| rule);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.cells()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let padded_row = |cells: [&str; 6]| {
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
        padded_row(COLUMNS.map(|(name, ..)| name)),
        padded_row(rules.each_ref().map(String::as_str)),
    ];
    text.extend(rows.iter().map(|row| padded_row(row.cells())));
    text.join("\n")
}
