//! Tables as the reference draws them: framed, compact and CSV.

use unicode_width::UnicodeWidthStr;

/// Draws a table with frames and a line below each row.
pub fn framed(header: &[String], rows: &[Vec<String>]) -> String {
    let widths = widths(header, rows);
    let rule: String = widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).collect::<String>() + "+\n";
    let mut out = rule.clone();
    out.push_str(&line(header, &widths, centered, "| ", " | ", " |"));
    out.push_str(&rule);
    for row in rows {
        for cells in split(row) {
            out.push_str(&line(&cells, &widths, left, "| ", " | ", " |"));
        }
        out.push_str(&rule);
    }
    out
}

/// Draws a table without frames.
pub fn compact(header: &[String], rows: &[Vec<String>]) -> String {
    let widths = widths(header, rows);
    let mut out = line(header, &widths, centered, "  ", "  ", "  ");
    for row in rows {
        for cells in split(row) {
            out.push_str(&line(&cells, &widths, left, "  ", "  ", "  "));
        }
    }
    out
}

/// Writes rows as comma separated values, without a header.
pub fn csv(rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    for row in rows {
        let fields: Vec<String> = row.iter().map(|field| quoted(field)).collect();
        out.push_str(&fields.join(","));
        out.push('\n');
    }
    out
}

fn quoted(field: &str) -> String {
    let needs = field == "\\."
        || field.contains(['"', ',', '\n', '\r'])
        || field.chars().next().is_some_and(char::is_whitespace);
    if needs { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

fn widths(header: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            let longest = cell.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
            *width = (*width).max(longest);
        }
    }
    widths
}

/// The lines of a row whose cells may have several lines.
fn split(row: &[String]) -> Vec<Vec<String>> {
    let height = row.iter().map(|cell| cell.split('\n').count()).max().unwrap_or(1);
    (0..height)
        .map(|index| {
            row.iter().map(|cell| cell.split('\n').nth(index).unwrap_or_default().to_owned()).collect()
        })
        .collect()
}

fn line(
    cells: &[String],
    widths: &[usize],
    pad: fn(&str, usize) -> String,
    first: &str,
    between: &str,
    last: &str,
) -> String {
    let cells: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(index, width)| pad(cells.get(index).map_or("", String::as_str), *width))
        .collect();
    format!("{first}{}{last}\n", cells.join(between))
}

fn left(cell: &str, width: usize) -> String {
    format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width())))
}

fn centered(cell: &str, width: usize) -> String {
    let space = width.saturating_sub(cell.width());
    let before = space / 2;
    format!("{}{cell}{}", " ".repeat(before), " ".repeat(space - before))
}
