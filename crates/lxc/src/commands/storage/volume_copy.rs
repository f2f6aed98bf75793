//! `lxc storage volume copy` and `move`, within a server

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::cli::{Flag, Matches, Spec, TARGET, switch, value};
use crate::commands::entity::send;
use crate::cx::{Cx, Target};

const MODE: Flag = value("mode", "Transfer mode: pull, push or relay").or("pull");
const TARGET_PROJECT: Flag = value("target-project", "Project of the new volume");
const DESTINATION: Flag = value("destination-target", "Cluster member of the new volume");

/// `lxc storage volume copy`
pub static COPY: Spec = Spec {
    name: "copy",
    aliases: &["cp"],
    args: "[<remote>:]<pool>/<volume>[/<snapshot>] [<remote>:]<pool>/<volume>",
    about: "Make a copy of a storage volume",
    flags: &[
        DESTINATION,
        MODE,
        switch("refresh", "Only transfer what differs"),
        TARGET,
        TARGET_PROJECT,
        switch("volume-only", "Without snapshots"),
    ],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(copy(cx, m))),
    ..Spec::NEW
};

/// `lxc storage volume move`
pub static MOVE: Spec = Spec {
    name: "move",
    aliases: &["mv"],
    args: "[<remote>:]<pool>/<volume> [<remote>:]<pool>/<volume>",
    about: "Move a storage volume elsewhere",
    flags: &[DESTINATION, MODE, TARGET, TARGET_PROJECT],
    count: (2, 2),
    run: Some(|cx, m| Box::pin(relocate(cx, m))),
    ..Spec::NEW
};

/// Server, pool and volume of `[REMOTE:]POOL/VOLUME`.
fn place(cx: &Cx, text: &str, role: &str) -> Result<(Target, String, String)> {
    let target = cx.target(text)?;
    let Some((pool, volume)) = target.name.split_once('/') else {
        bail!("No storage pool for {role} volume specified");
    };
    let (pool, volume) = (pool.to_owned(), volume.to_owned());
    Ok((target, pool, volume))
}

async fn copy(cx: &Cx, matches: &Matches) -> Result<()> {
    let (source, source_pool, source_volume) = place(cx, matches.arg(0), "source")?;
    let (target, pool, volume) = place(cx, matches.arg(1), "target")?;
    if source.remote != target.remote {
        bail!("Copying volumes between servers is not supported yet");
    }
    let client = target.client.with_target(matches.value("destination-target"));
    let client = match matches.value("target-project") {
        "" => client,
        project => client.with_project(project),
    };
    let body = json!({
        "config": {},
        "description": "",
        "name": volume,
        "type": "custom",
        "source": {
            "name": source_volume,
            "type": "copy",
            "pool": source_pool,
            "project": source.client.project(),
            "volume_only": matches.is("volume-only"),
            "refresh": matches.is("refresh"),
            "location": matches.value("target"),
        },
    });
    let path = format!("/1.0/storage-pools/{}/volumes/custom", lxd_client::encode(&pool));
    send(cx, &client, "POST", &path, Some(&body)).await?;
    done(cx, "Storage volume copied successfully!");
    Ok(())
}

async fn relocate(cx: &Cx, matches: &Matches) -> Result<()> {
    let (source, source_pool, source_volume) = place(cx, matches.arg(0), "source")?;
    let (target, pool, volume) = place(cx, matches.arg(1), "target")?;
    if source.remote != target.remote {
        bail!("Moving volumes between servers is not supported yet");
    }
    let client = source.client.with_target(matches.value("target"));
    let path = format!(
        "/1.0/storage-pools/{}/volumes/custom/{}",
        lxd_client::encode(&source_pool),
        lxd_client::encode(&source_volume)
    );
    let mut body: Value = json!({"name": volume, "pool": pool});
    if matches.given("target-project") {
        body["project"] = json!(matches.value("target-project"));
    }
    send(cx, &client, "POST", &path, Some(&body)).await?;
    done(cx, "Storage volume moved successfully!");
    Ok(())
}

fn done(cx: &Cx, text: &str) {
    if !cx.quiet {
        // Over a progress that may stand there.
        println!("\r{text}");
    }
}
