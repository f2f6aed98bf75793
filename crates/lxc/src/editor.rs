//! `edit` commands: YAML from standard input, or through the user's editor.

use std::future::Future;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use crate::stdin;

/// Lets the user change a document and hands it to `apply`; on an error the editor may be opened again.
///
/// `text` is the document with its explanation, asked for only when an editor is used.
///
/// # Errors
/// The document is wrong and comes from standard input, the editor fails, or the user gives up.
pub async fn edit<F, A>(text: String, mut apply: F) -> Result<()>
where
    F: FnMut(String) -> A,
    A: Future<Output = Result<()>>,
{
    if !stdin::is_terminal() {
        return apply(stdin::read_all()?).await;
    }
    let mut content = open(&text)?;
    loop {
        let Err(error) = apply(content.clone()).await else { return Ok(()) };
        eprintln!("Config parsing error: {error:#}");
        println!("Press enter to open the editor again or ctrl+c to abort change");
        stdin::ask("")?;
        content = open(&content)?;
    }
}

/// Opens the editor on a text and returns what the user saved.
///
/// # Errors
/// No editor is found, or it fails.
pub fn open(text: &str) -> Result<String> {
    let dir = std::env::temp_dir();
    let path = dir.join(format!("lxd_editor_{}.yaml", std::process::id()));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.with_context(|| path.display().to_string())?;
    let result = (|| {
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        run(&path)?;
        std::fs::read_to_string(&path).context("Failed to read the edited file")
    })();
    let _ = std::fs::remove_file(&path);
    result
}

fn run(path: &std::path::Path) -> Result<()> {
    let editor =
        ["VISUAL", "EDITOR"].iter().rev().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let editor = match editor {
        Some(editor) => editor,
        None => ["editor", "vi", "emacs", "nano"]
            .iter()
            .find(|name| in_path(name))
            .map(|name| (*name).to_owned())
            .context("No text editor found, please set the EDITOR environment variable")?,
    };
    // The variable may hold arguments; a shell is not involved.
    let mut words = editor.split_whitespace();
    let Some(program) = words.next() else {
        bail!("No text editor found, please set the EDITOR environment variable")
    };
    let status = Command::new(program).args(words).arg(path).status().with_context(|| program.to_owned())?;
    if !status.success() {
        bail!("{program}: {status}");
    }
    Ok(())
}

fn in_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// Reads YAML into a struct; an empty document gives the empty struct.
///
/// # Errors
/// The text is no YAML or has another shape.
pub fn from_yaml<T: DeserializeOwned + Default>(text: &str) -> Result<T> {
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_saphyr::from_str(text).map_err(|error| {
        // Only the first line: the others draw the place.
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        anyhow::anyhow!("yaml: {}", line.trim_start_matches("error: "))
    })
}
