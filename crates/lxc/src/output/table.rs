//! Tables as the reference draws them: framed, compact and CSV.

use unicode_width::UnicodeWidthStr;

/// Titles as tables show them: upper case, `_` and most dots become blanks.
pub fn titles(header: &[String]) -> Vec<String> {
    header.iter().map(|title| shown_title(title)).collect()
}

fn shown_title(title: &str) -> String {
    let chars: Vec<char> = title.chars().collect();
    let keeps_dot = |c: Option<&char>| c.is_none_or(|c| c.is_ascii_digit() || *c == ' ');
    let shown: String = chars
        .iter()
        .enumerate()
        .map(|(index, c)| match c {
            '_' => ' ',
            '.' if !keeps_dot(index.checked_sub(1).and_then(|i| chars.get(i)))
                || !keeps_dot(chars.get(index + 1)) =>
            {
                ' '
            }
            other => *other,
        })
        .collect();
    let shown = shown.trim();
    if shown.is_empty() && !title.is_empty() { " ".to_owned() } else { shown.to_uppercase() }
}

/// Draws a table with frames and a line below each row.
pub fn framed(header: &[String], rows: &[Vec<String>]) -> String {
    let header = &titles(header)[..];
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
    let header = &titles(header)[..];
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn framed_with_lines_in_cells() {
        let text = framed(&row(&["NAME", "image.os"]), &[row(&["c1", "a\nbb"]), row(&["c22222", ""])]);
        let expected = "\
+--------+----------+
|  NAME  | IMAGE OS |
+--------+----------+
| c1     | a        |
|        | bb       |
+--------+----------+
| c22222 |          |
+--------+----------+
";
        assert_eq!(text, expected);
    }

    #[test]
    fn compact_has_no_frames() {
        let text = compact(&row(&["NAME", "S"]), &[row(&["c1", "on"])]);
        assert_eq!(text, "  NAME  S   \n  c1    on  \n");
    }

    #[test]
    fn csv_quotes_what_it_must() {
        let rows = [row(&["a", "b,c", "d\"e", " f", ""])];
        assert_eq!(csv(&rows), "a,\"b,c\",\"d\"\"e\",\" f\",\n");
    }
}
