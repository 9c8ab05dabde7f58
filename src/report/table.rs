//! Tables that fit a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{Color, ColumnConstraint, ContentArrangement, Width};

use crate::report::text;

/// The space between two columns of a table, in columns of the terminal.
const GAP: usize = 2;

/// The treatment of a text that is wider than its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflow {
    CutEnd,
    CutStart,
    Wrap,
}

/// A column of a table. By default, it is always shown in full.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    header: &'static str,
    /// The treatment of a text that is too wide, and the minimum width of the column; `None` for a column that does not
    /// shrink.
    overflow: Option<(Overflow, usize)>,
    /// The rank by which columns are left out of a narrow table, highest first. A column with rank 0 is never left out.
    rank: u8,
}

impl Column {
    /// Returns a column that is always shown in full.
    pub(crate) const fn new(header: &'static str) -> Self {
        Self { header, overflow: None, rank: 0 }
    }

    /// Lets a narrow table cut the ends of the texts, to at least `min_width` columns.
    pub(crate) const fn cut_end(self, min_width: usize) -> Self {
        Self { overflow: Some((Overflow::CutEnd, min_width)), ..self }
    }

    /// Lets a narrow table cut the beginnings of the texts, as for paths, to at least `min_width` columns.
    pub(crate) const fn cut_start(self, min_width: usize) -> Self {
        Self { overflow: Some((Overflow::CutStart, min_width)), ..self }
    }

    /// Lets a narrow table wrap the texts into lines of at least `min_width` columns.
    pub(crate) const fn wrap(self, min_width: usize) -> Self {
        Self { overflow: Some((Overflow::Wrap, min_width)), ..self }
    }

    /// Lets a narrow table leave the column out; of several such columns, the one with the highest rank is left out
    /// first.
    pub(crate) const fn optional(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The text, on one line.
    pub text: String,
    /// The color: green for success, red for failure.
    color: Option<Color>,
}

impl Cell {
    /// Returns a cell without a color.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), color: None }
    }

    /// Returns a cell that reports success.
    pub(crate) fn success(text: impl Into<String>) -> Self {
        Self { text: text.into(), color: Some(Color::Green) }
    }

    /// Returns a cell that reports a failure.
    pub(crate) fn failure(text: impl Into<String>) -> Self {
        Self { text: text.into(), color: Some(Color::Red) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::plain(text)
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Returns a table without rows.
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Returns a table with these rows.
    pub(crate) fn with_rows<C: Into<Cell>>(
        columns: impl Into<Vec<Column>>,
        rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
    ) -> Self {
        let mut table = Self::new(columns);
        for row in rows {
            table.add_row(row);
        }
        table
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn add_row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let mut row: Vec<Cell> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), Cell::plain(""));
        for cell in &mut row {
            // A command or an error may have several lines.
            cell.text = text::printable(&cell.text.trim_end().replace(['\r', '\n', '\t'], " "));
        }
        self.rows.push(row);
    }

    /// Whether the table has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether no column has to be narrower than its minimum width.
    pub(crate) fn fits(&self, width: Option<usize>) -> bool {
        let widths = (0..self.columns.len()).map(|index| self.min_width(index, self.natural_width(index)));
        width.is_none_or(|width| total(widths) <= width)
    }

    /// Returns the lines of the table, which are at most `width` columns wide; without a width, every column is as wide as
    /// its texts.
    pub(crate) fn render(&self, width: Option<usize>, color: bool) -> String {
        let columns = self.layout(width.unwrap_or(usize::MAX));
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(u16::MAX);
        if color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(
            columns.iter().map(|&(index, width)| {
                comfy_table::Cell::new(text::cut_end(self.columns[index].header, width))
            }),
        );
        for row in &self.rows {
            table
                .add_row(columns.iter().map(|&(index, width)| cell(&row[index], self.columns[index], width)));
        }
        for (position, (column, (_, width))) in table.column_iter_mut().zip(&columns).enumerate() {
            let gap = if position + 1 < columns.len() { GAP } else { 0 };
            column.set_padding((0, u16::try_from(gap).unwrap_or_default()));
            let width = u16::try_from((*width).max(1) + gap).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// Returns the columns to show, each with its width.
    fn layout(&self, width: usize) -> Vec<(usize, usize)> {
        let mut layout: Vec<(usize, usize)> =
            (0..self.columns.len()).map(|index| (index, self.natural_width(index))).collect();
        // A table that is too wide leaves out its optional columns without any text first; one without a header would
        // only be a gap in any table.
        let is_too_wide = total(layout.iter().map(|column| column.1)) > width;
        layout.retain(|&(index, _)| {
            let Column { header, rank, .. } = self.columns[index];
            rank == 0 || !self.is_blank(index) || !(is_too_wide || header.is_empty())
        });
        let min_width = |&(index, width): &(usize, usize)| self.min_width(index, width);
        while total(layout.iter().map(min_width)) > width {
            let ranks = layout.iter().map(|&(index, _)| self.columns[index].rank).enumerate();
            match ranks.filter(|&(_, rank)| rank > 0).max_by_key(|&(_, rank)| rank) {
                Some((position, _)) => drop(layout.remove(position)),
                None => break,
            }
        }
        shrink(&mut layout, width, min_width);
        // If the table is still too wide, every column shrinks below its minimum.
        shrink(&mut layout, width, |_column| 1);
        layout
    }

    fn min_width(&self, index: usize, width: usize) -> usize {
        let Column { header, overflow, .. } = self.columns[index];
        overflow.map_or(width, |(_, min_width)| width.min(min_width.max(text::width(header))))
    }

    fn natural_width(&self, index: usize) -> usize {
        let cells = self.rows.iter().map(|row| text::width(&row[index].text));
        cells.chain([text::width(self.columns[index].header)]).max().unwrap_or_default().max(1)
    }

    fn is_blank(&self, index: usize) -> bool {
        self.rows.iter().all(|row| row[index].text.is_empty())
    }
}

/// Narrows the widest column, step by step, until the table fits or every column has its minimum width.
fn shrink(layout: &mut [(usize, usize)], width: usize, min_width: impl Fn(&(usize, usize)) -> usize) {
    while total(layout.iter().map(|column| column.1)) > width {
        let wider = layout.iter_mut().filter(|column| column.1 > min_width(column));
        match wider.max_by_key(|column| column.1) {
            Some(column) => column.1 -= 1,
            None => break,
        }
    }
}

fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
}

fn cell(cell: &Cell, column: Column, width: usize) -> comfy_table::Cell {
    let text = match column.overflow {
        Some((Overflow::CutStart, _)) => text::cut_start(&cell.text, width),
        Some((Overflow::Wrap, _)) => cell.text.as_str().into(),
        Some((Overflow::CutEnd, _)) | None => text::cut_end(&cell.text, width),
    };
    let styled = comfy_table::Cell::new(&text);
    match cell.color {
        Some(color) if !text.is_empty() => styled.fg(color),
        _ => styled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Column::new("ID"),
            Column::new("PATH").cut_start(12).optional(1),
            Column::new("COMMAND").cut_end(10),
            Column::new("CPU").optional(2),
        ]);
        table.add_row(["456789ab", "/usr/local/bin/program", "program --with many options", "12 ms"]);
        table.add_row(["45678900", "/bin/日本語", "日本語の長い引数", ""]);
        table
    }

    #[test]
    fn a_table_has_no_trailing_spaces_and_no_escape_sequences_without_color() {
        let mut table = Table::new([Column::new("NAME"), Column::new("STATUS")]);
        table.add_row([Cell::plain("rg"), Cell::success("installed")]);
        table.add_row([Cell::plain("a-long-name"), Cell::failure("queued\x1b[31m")]);
        table.add_row(["jq"]);
        assert_eq!(
            table.render(None, false),
            "NAME         STATUS\nrg           installed\na-long-name  queued\u{fffd}[31m\njq\n"
        );
        assert!(table.render(None, true).contains("\u{1b}["));
    }

    #[test]
    fn a_text_of_several_lines_is_shown_on_one() {
        let table = Table::with_rows([Column::new("COMMAND")], [["sh -c a\n\tb\nc\n"], ["d\r\ne"]]);
        assert_eq!(table.render(None, false), "COMMAND\nsh -c a  b c\nd  e\n");
    }

    #[test]
    fn columns_shrink_and_are_left_out_by_their_rank() {
        insta::assert_snapshot!(table().render(None, false), @r"
        ID        PATH                    COMMAND                      CPU
        456789ab  /usr/local/bin/program  program --with many options  12 ms
        45678900  /bin/日本語             日本語の長い引数
        ");
        insta::assert_snapshot!(table().render(Some(60), false), @r"
        ID        PATH                   COMMAND               CPU
        456789ab  …sr/local/bin/program  program --with many…  12 ms
        45678900  /bin/日本語            日本語の長い引数
        ");
        insta::assert_snapshot!(table().render(Some(40), false), @r"
        ID        PATH            COMMAND
        456789ab  …l/bin/program  program --wit…
        45678900  /bin/日本語     日本語の長い…
        ");
        insta::assert_snapshot!(table().render(Some(24), false), @r"
        ID        COMMAND
        456789ab  program --wit…
        45678900  日本語の長い…
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 9..90 {
            for line in table().render(Some(width), false).lines() {
                assert!(text::width(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn the_last_column_is_not_padded_within_its_color() {
        let mut table = Table::new([Column::new("ID"), Column::new("STATE")]);
        table.add_row([Cell::plain("456789ab"), Cell::failure("exit 127")]);
        assert!(
            table.render(Some(18), true).contains("mexit 127\u{1b}["),
            "{}",
            table.render(Some(18), true)
        );
    }

    #[test]
    fn a_wrapped_text_is_shown_in_full() {
        let mut table = Table::new([Column::new("PROVIDER"), Column::new("REASON").wrap(20)]);
        table.add_row(["apt", "cannot install rg: no such package"]);
        insta::assert_snapshot!(table.render(Some(34), false), @r"
        PROVIDER  REASON
        apt       cannot install rg: no
                  such package
        ");
    }
}
