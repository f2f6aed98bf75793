//! `lxd sql`: statements on the daemon's databases, their answers as tables.

use std::io::Read;

use clap::Args;
use lxd_client::Client;
use lxd_types::error::Context;
use lxd_types::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::print;
use crate::cli::help_of;

/// What the help says.
pub const ABOUT: &str = "Execute a SQL query against the LXD local or global database\n\n\
    The local database is specific to the LXD cluster member you target the\n\
    command to, and contains member-specific data (such as the member network\n\
    address).\n\n\
    The global database is common to all LXD members in the cluster, and contains\n\
    cluster-specific data (such as profiles, containers, etc).\n\n\
    If you are running a non-clustered LXD instance, the same applies, as that\n\
    instance is effectively a single-member cluster.\n\n\
    If <query> is the special value \"-\", then the query is read from\n\
    standard input.\n\n\
    If <query> is the special value \".dump\", the command returns a SQL text\n\
    dump of the given database.\n\n\
    If <query> is the special value \".schema\", the command returns the SQL\n\
    text schema of the given database.\n\n\
    If <query> is the special value \".sync\", the global database is written to\n\
    its file, which other programs can then read.";

/// Arguments of `lxd sql`.
#[derive(Args, Clone, Debug)]
pub struct Sql {
    /// `local` or `global`
    #[arg(hide = true)]
    database: Option<String>,
    /// The query
    #[arg(hide = true, allow_hyphen_values = true)]
    query: Option<String>,
}

/// What the daemon answers.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(rename = "Results")]
    results: Option<Vec<Outcome>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome {
    #[serde(rename = "type")]
    kind: String,
    columns: Option<Vec<String>>,
    rows: Option<Vec<Vec<Value>>>,
    rows_affected: u64,
}

/// Runs the command.
///
/// # Errors
/// Wrong arguments, no daemon, or a failing statement.
pub async fn run(args: Sql) -> Result<()> {
    let (database, query) = match (args.database, args.query) {
        (None, _) => return help(),
        (Some(_), None) => {
            help()?;
            return Err(Error::bad_request("Missing required arguments"));
        }
        (Some(database), Some(query)) => (database, query),
    };
    if database != "local" && database != "global" {
        help()?;
        return Err(Error::bad_request("Invalid database type"));
    }
    match query.as_str() {
        ".dump" => dump(&database, false).await,
        ".schema" => dump(&database, true).await,
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("Failed to read from stdin")?;
            ask(&database, &text).await
        }
        _ => ask(&database, &query).await,
    }
}

fn help() -> Result<()> {
    print(&help_of("sql"))
}

async fn dump(database: &str, schema: bool) -> Result<()> {
    let path = format!("/internal/sql?database={database}&schema={}", u8::from(schema));
    let answer: Value = Client::local()
        .get(&path)
        .await
        .map_err(|error| Error::from(error).context("failed to request dump"))?;
    print(answer["text"].as_str().unwrap_or_default())
}

async fn ask(database: &str, query: &str) -> Result<()> {
    let body = json!({ "database": database, "query": query });
    let answer = Client::local().send("POST", "/internal/sql", Some(&body)).await?;
    let answer: Answer = serde_json::from_value(answer)
        .map_err(|error| Error::internal(format!("Failed to parse the answer: {error}")))?;
    print(&show(&answer.results.unwrap_or_default()))
}

/// The answers as text; several of them are numbered.
fn show(results: &[Outcome]) -> String {
    let mut out = String::new();
    for (number, outcome) in results.iter().enumerate() {
        if results.len() > 1 {
            out.push_str(&format!("=> Query {number}:\n\n"));
        }
        if outcome.kind == "select" {
            out.push_str(&table(outcome));
        } else {
            out.push_str(&format!("Rows affected: {}\n", outcome.rows_affected));
        }
        if results.len() > 1 {
            out.push('\n');
        }
    }
    out
}

fn table(outcome: &Outcome) -> String {
    let rows: Vec<Vec<String>> =
        outcome.rows.iter().flatten().map(|row| row.iter().map(cell).collect()).collect();
    super::table::draw(outcome.columns.as_deref().unwrap_or_default(), &rows)
}

/// A value as the reference prints it: all numbers as if they were floating ones.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), float),
        other => other.to_string(),
    }
}

/// Shortest form; with an exponent from a million on and below a ten-thousandth: `1.234567e+06`.
fn float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, wanted) in [
            (json!(1_234_567), "1.234567e+06"),
            (json!(999_999), "999999"),
            (json!(1_000_000), "1e+06"),
            (json!(0.00001), "1e-05"),
            (json!(0.0001), "0.0001"),
            (json!(123_456_789.5), "1.234567895e+08"),
            (json!(-5), "-5"),
            (json!(1e21), "1e+21"),
            (json!(3.0), "3"),
            (json!(12_345_678_901_234_567_i64), "1.2345678901234568e+16"),
            (json!(null), "<nil>"),
        ] {
            assert_eq!(cell(&number), wanted);
        }
    }

    #[test]
    fn several_answers_are_numbered() {
        let select = || Outcome {
            kind: "select".into(),
            columns: Some(vec!["id".into(), "name".into()]),
            rows: Some(vec![vec![json!(1), json!("a\nb")], vec![json!(2), json!("default")]]),
            rows_affected: 0,
        };
        let table = "+----+---------+\n| id |  name   |\n+----+---------+\n| 1  | a       |\n|    | b       |\n\
                     | 2  | default |\n+----+---------+\n";
        assert_eq!(show(&[select()]), table);
        let exec = Outcome { kind: "exec".into(), rows_affected: 3, ..Outcome::default() };
        assert_eq!(
            show(&[select(), exec]),
            format!("=> Query 0:\n\n{table}\n=> Query 1:\n\nRows affected: 3\n\n")
        );
    }
}
