//! A table with frames around head and body, as `lxd sql` draws it.

use unicode_width::UnicodeWidthStr;

/// Draws a table; cells may have several lines.
pub fn draw(head: &[String], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|name| name.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.lines().map(UnicodeWidthStr::width).max().unwrap_or(0).max(*width);
        }
    }
    let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
    let rule = rule + "+\n";
    let mut out = rule.clone();
    let head = head.iter().zip(&widths).map(|(name, width)| {
        let space = width - name.width();
        format!("| {}{name}{} ", " ".repeat(space / 2), " ".repeat(space - space / 2))
    });
    out.extend(head);
    out.push_str("|\n");
    out.push_str(&rule);
    for row in rows {
        let height = row.iter().map(|cell| cell.split('\n').count()).max().unwrap_or(1);
        for line in 0..height {
            for (cell, width) in row.iter().zip(&widths) {
                let text = cell.split('\n').nth(line).unwrap_or_default();
                out.push_str(&format!("| {text}{} ", " ".repeat(width.saturating_sub(text.width()))));
            }
            out.push_str("|\n");
        }
    }
    out + &rule
}
