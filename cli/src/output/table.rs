//! Columns that line up, without rules: `v37  Deploy a1b2c3d4  me@example.com`.

use std::fmt::Write;

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Each column as wide as its widest cell, two blanks between, none at the ends of lines.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, &column_width) in row.iter().zip(&widths) {
                let blanks = column_width - width(cell) + 2;
                let _ = write!(line, "{cell}{:blanks$}", "");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Places on the screen: characters, without the colour codes.
fn width(cell: &str) -> usize {
    let mut in_code = false;
    cell.chars()
        .filter(|&c| {
            let was_in_code = in_code;
            in_code = c == '\x1b' || (in_code && c != 'm');
            !was_in_code && !in_code
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_colour_takes_no_room() {
        let mut table = Table::new();
        table.row(["a".into(), "\x1b[31mred\x1b[0m".into(), "x".into()]);
        table.row(["longer".into(), "b".into(), "y".into()]);
        table.row(["last".into(), String::new(), String::new()]);
        assert_eq!(
            table.render(),
            "a       \x1b[31mred\x1b[0m  x\nlonger  b    y\nlast\n"
        );
    }
}
