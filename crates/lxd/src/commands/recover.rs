//! `lxd recover`: takes over what lies in storage pools and is not recorded (manual 3.4.1). The questions are those of the
//! reference, so that scripts that answer them keep working.

use lxd_api::recover::{RecoverFound, RecoverPost, UnknownVolume};
use lxd_api::server::Server;
use lxd_api::storage_pool::{StoragePool, StoragePoolsPost};
use lxd_client::Client;
use lxd_types::{ConfigExt, Error, Result};

use super::init::ask::Ask;

/// Runs the command.
///
/// # Errors
/// No daemon runs, the input has ended, or what was found cannot be taken over.
pub async fn run() -> Result<()> {
    let client = Client::local();
    let server: Server = client.get("/1.0").await?;
    let mut drivers: Vec<String> =
        server.environment.storage_supported_drivers.into_iter().map(|driver| driver.name).collect();
    drivers.sort();
    let existing: Vec<StoragePool> = client.get("/1.0/storage-pools?recursion=1").await?;
    let mut ask = Ask::terminal();
    let added = questions(&mut ask, &existing, &drivers)?;
    if !ask.yes("Would you like to continue with scanning for lost volumes? (yes/no)", true)? {
        return Ok(());
    }
    ask.say("Scanning for unknown volumes...\n")?;
    let known =
        existing.into_iter().map(|pool| StoragePoolsPost { name: pool.name, ..StoragePoolsPost::default() });
    let post = RecoverPost { pools: known.chain(added).collect() };
    loop {
        let found = validate(&client, &post).await?;
        if found.unknown_volumes.is_empty() && !post.pools.iter().any(is_new) {
            return ask.say("No unknown volumes found. Nothing to do.\n");
        }
        ask.say(&shown(&found))?;
        if found.dependency_errors.is_empty() {
            break;
        }
        ask.text("Please create those missing entries and then hit ENTER", None, |_| Ok(()))?;
    }
    if !ask.yes("Would you like those to be recovered? (yes/no)", false)? {
        return Ok(());
    }
    ask.say("Starting recovery...\n")?;
    let done = client.send("POST", "/internal/recover/import", Some(&post)).await;
    done.map(drop).map_err(|error| Error::from(error).context("Failed import request"))
}

async fn validate(client: &Client, post: &RecoverPost) -> Result<RecoverFound> {
    let found = client.send("POST", "/internal/recover/validate", Some(post)).await;
    let found = found.map_err(|error| Error::from(error).context("Failed validation request"))?;
    lxd_api::from_value(found).map_err(|error| Error::internal(format!("Wrong answer: {error}")))
}

/// The server names pools that it has, others come with their driver.
fn is_new(pool: &StoragePoolsPost) -> bool {
    !pool.driver.is_empty()
}

/// Shows the pools that are there, asks for others, and shows what will be looked through.
fn questions(ask: &mut Ask, existing: &[StoragePool], drivers: &[String]) -> Result<Vec<StoragePoolsPost>> {
    ask.say("This LXD server currently has the following storage pools:\n")?;
    for pool in existing {
        ask.say(&format!(" - {} {}\n", pool.name, place(&pool.driver, pool.config.value("source"))))?;
    }
    let mut added: Vec<StoragePoolsPost> = Vec::new();
    while ask.yes("Would you like to recover another storage pool? (yes/no)", false)? {
        let taken: Vec<String> = existing.iter().map(|pool| pool.name.clone()).collect();
        let all: Vec<String> = taken.into_iter().chain(added.iter().map(|pool| pool.name.clone())).collect();
        added.push(one_pool(ask, &all, drivers)?);
    }
    ask.say("The recovery process will be scanning the following storage pools:\n")?;
    for pool in existing {
        ask.say(&format!(
            " - EXISTING: {:?} {}\n",
            pool.name,
            place(&pool.driver, pool.config.value("source"))
        ))?;
    }
    for pool in &added {
        ask.say(&format!(" - NEW: {:?} {}\n", pool.name, place(&pool.driver, pool.config.value("source"))))?;
    }
    Ok(added)
}

fn place(driver: &str, source: &str) -> String {
    format!("(backend={driver:?}, source={source:?})")
}

fn one_pool(ask: &mut Ask, taken: &[String], drivers: &[String]) -> Result<StoragePoolsPost> {
    let filled = |answer: &str| if answer.is_empty() { Err(String::new()) } else { Ok(()) };
    let name =
        ask.text("Name of the storage pool", None, |answer| match taken.iter().any(|name| name == answer) {
            true => Err(format!("Storage pool {answer:?} is already on recover list")),
            false => filled(answer),
        })?;
    let driver =
        ask.text(&format!("Name of the storage backend ({})", drivers.join(", ")), None, |answer| {
            match drivers.iter().any(|driver| driver == answer) {
                true => Ok(()),
                false => Err(format!("Invalid value {answer:?} (not one of [{}])", drivers.join(" "))),
            }
        })?;
    let question =
        "Source of the storage pool (block device, volume group, dataset, path, ... as applicable)";
    let source = ask.text(question, None, filled)?;
    let mut pool = StoragePoolsPost { name, driver, ..StoragePoolsPost::default() };
    pool.config.insert("source".to_owned(), source);
    loop {
        let question = "Additional storage pool configuration property (KEY=VALUE, empty when done)";
        let answer = ask.text(question, None, |answer| match answer.is_empty() || answer.contains('=') {
            true => Ok(()),
            false => Err("Config option should be in the format KEY=VALUE".to_owned()),
        })?;
        let Some((key, value)) = answer.split_once('=') else { return Ok(pool) };
        pool.config.insert(key.to_owned(), value.to_owned());
    }
}

/// What was found, and what lacks.
fn shown(found: &RecoverFound) -> String {
    let mut text = "The following unknown volumes have been found:\n".to_owned();
    for UnknownVolume { name, kind, snapshot_count, project, pool } in &found.unknown_volumes {
        let kind = match kind.as_str() {
            "container" => "Container",
            "virtual-machine" => "Virtual-machine",
            _ => "Volume",
        };
        text.push_str(&format!(
            " - {kind} {name:?} on pool {pool:?} in project {project:?} (includes {snapshot_count} snapshots)\n"
        ));
    }
    if found.unknown_volumes.is_empty() {
        text = "No unknown volumes found; the new storage pools can be recovered.\n".to_owned();
    }
    if !found.dependency_errors.is_empty() {
        text.push_str("You are currently missing the following:\n");
        found.dependency_errors.iter().for_each(|missing| text.push_str(&format!(" - {missing}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_asked_until_they_are_answered() {
        let input = "yes\n\np1\nnew\nfoo\ndir\n/srv/p\nno key\nrsync.bwlimit=1\n\nno\n";
        let mut ask =
            Ask::new(Box::new(input.as_bytes()), Box::new(std::io::sink()), Box::new(std::io::sink()));
        let existing = [StoragePool { name: "p1".to_owned(), ..StoragePool::default() }];
        let added = questions(&mut ask, &existing, &["btrfs".to_owned(), "dir".to_owned()]).unwrap();
        assert_eq!((added.len(), &*added[0].name, &*added[0].driver), (1, "new", "dir"));
        let config: Vec<_> = added[0].config.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(config, ["rsync.bwlimit=1", "source=/srv/p"]);
    }

    #[test]
    fn what_was_found_is_shown_as_the_reference_does() {
        let volume = UnknownVolume {
            name: "c1".to_owned(),
            kind: "container".to_owned(),
            snapshot_count: 1,
            project: "default".to_owned(),
            pool: "p".to_owned(),
        };
        let missing = vec!["Project \"p1\"".to_owned()];
        let found = RecoverFound { unknown_volumes: vec![volume], dependency_errors: missing };
        let wanted = "The following unknown volumes have been found:\n \
            - Container \"c1\" on pool \"p\" in project \"default\" (includes 1 snapshots)\n\
            You are currently missing the following:\n - Project \"p1\"\n";
        assert_eq!(shown(&found), wanted);
    }
}
