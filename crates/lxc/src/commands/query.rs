//! `lxc query`

use anyhow::{Result, bail};
use lxd_client::{Call, Operation, operation_id};
use serde_json::Value;

use crate::cli::{Matches, Spec, switch, value};
use crate::cx::Cx;
use crate::{follow, output, stdin};

/// The command.
pub static SPEC: Spec = Spec {
    name: "query",
    args: "[<remote>:]<API path>",
    about: "Send a raw request to the API",
    examples: "  lxc query -X DELETE --wait /1.0/instances/c1\n      Delete the instance \"c1\".",
    flags: &[
        value("data", "Request body").short('d'),
        switch("raw", "Print the whole answer"),
        value("request", "HTTP method").short('X').or("GET"),
        switch("wait", "Wait for the operation"),
    ],
    count: (1, 1),
    hidden: true,
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    if cx.project.is_some() {
        bail!("--project cannot be used with the query command");
    }
    let target = cx.target(matches.arg(0))?;
    if !target.name.starts_with('/') {
        bail!("Query path must start with /");
    }
    let mut call = Call::new(matches.value("request"), &target.name);
    if matches.given("data") {
        call =
            call.header("content-type", "application/json").bytes(body(stdin::value(matches.value("data"))?));
    }
    let raw = matches.is("raw");
    let reply = target.client.raw(call).await?;
    let status = reply.status;
    let bytes = reply.bytes().await?;
    let Ok(answer) = serde_json::from_slice::<Value>(&bytes) else {
        output::print(&String::from_utf8_lossy(&bytes));
        if status >= 400 {
            bail!("HTTP status {status}");
        }
        return Ok(());
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("type") == "error" {
        bail!("{}", text("error"));
    }
    if matches.is("wait") && text("type") == "async" {
        let mut operation = Operation::with_id(&target.client, operation_id(text("operation")));
        follow::wait(cx, &mut operation, "").await?;
        if !raw {
            let shown = serde_json::to_value(&operation.state)?;
            output::print(&(output::json::pretty(&shown) + "\n\n"));
            return Ok(());
        }
    }
    let shown = if raw { answer } else { answer.get("metadata").cloned().unwrap_or(Value::Null) };
    if raw {
        output::print(&(output::json::pretty_in_order(&shown) + "\n\n"));
    } else {
        print_value(&shown);
    }
    Ok(())
}

/// What is no JSON goes as a JSON string, as the reference sends it.
fn body(text: String) -> String {
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => text,
        Err(_) => Value::String(text).to_string(),
    }
}

fn print_value(value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(members) if members.is_empty() => {}
        Value::String(text) => println!("{text}"),
        other => output::print(&(output::json::pretty(other) + "\n\n")),
    }
}
