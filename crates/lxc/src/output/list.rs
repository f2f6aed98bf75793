//! The result of a `list` command in the format that the user asked for.

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;

use super::{json, node::Node, print, table, yaml};

/// Rows with their header, and the objects behind them.
pub struct Listing {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Listing {
    /// A list with column titles.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Sorts the rows, column by column.
    pub fn sort(&mut self) {
        self.rows.sort_by(|a, b| natural_rows(a, b));
    }

    /// Prints in a format: `raw` is what the server sent (for JSON), `typed` the same as structs (for YAML).
    ///
    /// # Errors
    /// Unknown format.
    pub fn print<T: Serialize + ?Sized>(&self, format: &str, raw: &Value, typed: &T) -> Result<()> {
        let node = if format == "yaml" { Node::of(typed)? } else { Node::Null };
        self.print_node(format, raw, node)
    }

    /// As [`Listing::print`] with the YAML made already.
    ///
    /// # Errors
    /// Unknown format.
    pub fn print_node(&self, format: &str, raw: &Value, node: Node) -> Result<()> {
        match format {
            "table" => print(&table::framed(&self.header, &self.rows)),
            "compact" => print(&table::compact(&self.header, &self.rows)),
            "csv" => print(&table::csv(&self.rows)),
            "json" => print(&(json::compact(raw) + "\n")),
            "yaml" => print(&yaml::emit(&node)),
            _ => bail!("Invalid format {format:?}"),
        }
        Ok(())
    }
}

/// Rows in natural order, column by column.
fn natural_rows(a: &[String], b: &[String]) -> std::cmp::Ordering {
    a.iter()
        .zip(b)
        .map(|(x, y)| compare_cells(x, y))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Empty cells come last, as in the reference.
fn compare_cells(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, false) => std::cmp::Ordering::Greater,
        (false, true) => std::cmp::Ordering::Less,
        _ => super::natural::compare_cells(a, b),
    }
}
