//! Columns of `lxc list`.

use anyhow::{Result, bail};
use lxd_api::instance::InstanceFull;

use crate::output::units;

/// A column.
pub struct Column {
    /// Its title.
    pub title: String,
    /// Its cells need the state of the instances.
    pub needs_state: bool,
    content: Content,
}

enum Content {
    Letter(char),
    Config { key: String, width: i64 },
    Device { name: String, key: String, width: i64 },
}

/// Letter, title, and whether the state is needed.
const LETTERS: &[(char, &str, bool)] = &[
    ('4', "IPV4", true),
    ('6', "IPV6", true),
    ('a', "ARCHITECTURE", false),
    ('b', "STORAGE POOL", false),
    ('c', "CREATED AT", false),
    ('d', "DESCRIPTION", false),
    ('D', "DISK USAGE", true),
    ('e', "PROJECT", false),
    ('f', "BASE IMAGE", false),
    ('F', "BASE IMAGE", false),
    ('l', "LAST USED AT", false),
    ('L', "LOCATION", false),
    ('m', "MEMORY USAGE", true),
    ('M', "MEMORY USAGE%", true),
    ('n', "NAME", false),
    ('N', "PROCESSES", true),
    ('p', "PID", true),
    ('P', "PROFILES", false),
    ('s', "STATE", false),
    ('S', "SNAPSHOTS", true),
    ('t', "TYPE", false),
    ('u', "CPU USAGE", true),
];

/// True for an entry that names a key instead of letters.
pub fn is_key(entry: &str) -> bool {
    entry.contains('.') || entry.contains(':')
}

/// Parses `ns46,user.comment:COMMENT:10`.
///
/// # Errors
/// Unknown letters, empty entries, a width that is no number.
pub fn parse(text: &str) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for entry in text.split(',') {
        if entry.is_empty() {
            bail!("Empty column entry (redundant, leading or trailing command) in '{text}'");
        }
        if is_key(entry) {
            columns.push(key_column(entry)?);
            continue;
        }
        for letter in entry.chars() {
            let Some((_, title, needs_state)) = LETTERS.iter().find(|(l, ..)| *l == letter) else {
                bail!("Unknown column shorthand char '{letter}' in '{entry}'");
            };
            let content = Content::Letter(letter);
            columns.push(Column { title: (*title).to_owned(), needs_state: *needs_state, content });
        }
    }
    Ok(columns)
}

fn key_column(entry: &str) -> Result<Column> {
    let mut parts: Vec<&str> = entry.split(':').collect();
    let kind = match parts[0] {
        "config" | "devices" => parts.remove(0),
        _ => "config",
    };
    if parts.len() > 3 {
        bail!("Invalid config key column format (too many fields): '{entry}'");
    }
    let key = parts.first().copied().unwrap_or_default();
    if parts.len() == 2 && parts[1].is_empty() {
        bail!("Invalid name in '{entry}', empty string is only allowed when defining maxWidth");
    }
    let title = parts.get(1).map_or_else(|| key.to_uppercase(), |name| (*name).to_owned());
    let width = match parts.get(2) {
        None => -1,
        Some(text) => match text.parse::<i64>() {
            Err(_) => bail!("Invalid max width (must be an integer) '{text}' in '{entry}'"),
            Ok(width) if width < -1 => {
                bail!("Invalid max width (must -1, 0 or a positive integer) '{text}' in '{entry}'")
            }
            Ok(0) => title.chars().count() as i64,
            Ok(width) => width,
        },
    };
    let content = if kind == "devices" {
        let Some((name, property)) = key.rsplit_once('.') else {
            bail!("Invalid device column format (needs <device>.<key>): '{entry}'");
        };
        Content::Device { name: name.to_owned(), key: property.to_owned(), width }
    } else {
        Content::Config { key: key.to_owned(), width }
    };
    Ok(Column { title, needs_state: false, content })
}

impl Column {
    /// The cell of an instance.
    pub fn cell(&self, instance: &InstanceFull) -> String {
        match &self.content {
            Content::Letter(letter) => letter_cell(*letter, instance),
            Content::Config { key, width } => {
                cut(instance.expanded_config.get(key).or_else(|| instance.config.get(key)), *width)
            }
            Content::Device { name, key, width } => {
                cut(instance.expanded_devices.get(name).and_then(|device| device.get(key)), *width)
            }
        }
    }
}

fn cut(value: Option<&String>, width: i64) -> String {
    let value = value.map_or("", String::as_str);
    match usize::try_from(width) {
        Ok(width) => value.chars().take(width).collect(),
        Err(_) => value.to_owned(),
    }
}

fn letter_cell(letter: char, instance: &InstanceFull) -> String {
    let running =
        !instance.state.status.is_empty() && !matches!(instance.status.as_str(), "Stopped" | "Error" | "");
    let base = || instance.config.get("volatile.base_image").cloned().unwrap_or_default();
    let when = |text: String, shown: bool| if shown { text } else { String::new() };
    match letter {
        '4' => addresses(instance, "inet"),
        '6' => addresses(instance, "inet6"),
        'a' => instance.architecture.clone(),
        'b' => root_pool(instance),
        'c' => when(units::minute_utc(&instance.created_at), !instance.created_at.is_never()),
        'd' => instance.description.clone(),
        'D' => instance
            .state
            .disk
            .get("root")
            .map_or_else(String::new, |disk| when(units::bytes(disk.usage, 2), disk.usage > 0)),
        'e' => instance.project.clone(),
        'f' => base().chars().take(12).collect(),
        'F' => base(),
        'l' => when(units::minute_utc(&instance.last_used_at), !instance.last_used_at.is_never()),
        'L' => instance.location.clone(),
        'm' => when(units::bytes(instance.state.memory.usage, 2), running && instance.state.memory.usage > 0),
        'M' => when(memory_share(instance), running && instance.state.memory.usage > 0),
        'n' => instance.name.clone(),
        'N' => when(instance.state.processes.to_string(), running),
        'p' => when(instance.state.pid.to_string(), running && instance.state.pid > 0),
        'P' => instance.profiles.join("\n"),
        's' => instance.status.to_uppercase(),
        'S' => instance.snapshots.len().to_string(),
        't' => kind(instance),
        'u' => when(
            format!("{}s", instance.state.cpu.usage / 1_000_000_000),
            running && instance.state.cpu.usage > 0,
        ),
        _ => String::new(),
    }
}

fn kind(instance: &InstanceFull) -> String {
    let name = if instance.kind.is_empty() { "container" } else { &instance.kind };
    let name = name.to_uppercase();
    if instance.ephemeral { format!("{name} (EPHEMERAL)") } else { name }
}

fn addresses(instance: &InstanceFull, family: &str) -> String {
    let mut lines = Vec::new();
    for (name, network) in &instance.state.network {
        if network.kind == "loopback" {
            continue;
        }
        for address in &network.addresses {
            if address.family == family && address.scope != "link" && address.scope != "local" {
                lines.push(format!("{} ({name})", address.address));
            }
        }
    }
    lines.sort_by(|a, b| b.cmp(a));
    lines.join("\n")
}

fn root_pool(instance: &InstanceFull) -> String {
    let roots = instance.expanded_devices.values();
    roots
        .filter(|device| {
            device.get("type").is_some_and(|t| t == "disk") && device.get("path").is_some_and(|p| p == "/")
        })
        .find_map(|device| device.get("pool").cloned())
        .unwrap_or_default()
}

fn memory_share(instance: &InstanceFull) -> String {
    let Some(limit) = instance.expanded_config.get("limits.memory").and_then(|text| size(text)) else {
        return String::new();
    };
    format!("{:.1}%", instance.state.memory.usage as f64 / limit * 100.0)
}

/// Bytes of `512MiB` and the like.
fn size(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let factor: f64 = match &text[digits..] {
        "" | "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        _ => return None,
    };
    Some(number * factor)
}
