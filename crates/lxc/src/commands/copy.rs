//! `lxc copy`, and what `lxc move` shares with it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use lxd_api::instance::{Instance, InstancePut, InstanceSnapshot, InstanceSource, InstancesPost};
use lxd_client::encode;

use crate::cli::{Flag, Matches, Spec, list, switch, value};
use crate::cx::{Cx, Target};
use crate::{follow, keyvalue};

/// Flags of `copy` and `move`.
pub const FLAGS: &[Flag] = &[
    switch("allow-inconsistent", "Ignore copy errors of files that change"),
    list("config", "key=value for the target instance").short('c'),
    list("device", "device,key=value for the target instance").short('d'),
    switch("instance-only", "Without snapshots"),
    value("mode", "Transfer mode: pull, push or relay").or("pull"),
    switch("no-profiles", "Without profiles"),
    list("profile", "Profile of the target instance").short('p'),
    switch("stateless", "Without the running state"),
    value("storage", "Storage pool").short('s'),
    value("target", "Name of the cluster member"),
    value("target-project", "Project of the copy"),
];

/// The command.
pub static SPEC: Spec = Spec {
    name: "copy",
    aliases: &["cp"],
    args: "[<remote>:]<source>[/<snapshot>] [[<remote>:]<destination>]",
    about: "Copy an instance or snapshot",
    flags: &[
        switch("allow-inconsistent", "Ignore copy errors of files that change"),
        list("config", "key=value for the target instance").short('c'),
        list("device", "device,key=value for the target instance").short('d'),
        switch("ephemeral", "Delete the copy when it stops").short('e'),
        switch("instance-only", "Without snapshots"),
        value("mode", "Transfer mode: pull, push or relay").or("pull"),
        switch("no-profiles", "Without profiles"),
        list("profile", "Profile of the target instance").short('p'),
        switch("refresh", "Update an existing copy"),
        switch("stateless", "Without the running state"),
        value("storage", "Storage pool").short('s'),
        value("target", "Name of the cluster member"),
        value("target-project", "Project of the copy"),
    ],
    count: (1, 2),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let source = cx.target(matches.arg(0))?;
    if source.name.is_empty() {
        bail!("You must specify a source instance name");
    }
    let target = cx.target(matches.arg(1))?;
    let refresh = matches.is("refresh");
    let name = copy(cx, matches, &source, &target, refresh).await?;
    if target.name.is_empty() {
        println!("Instance name is: {name}");
    }
    Ok(())
}

/// What is copied, as both kinds of objects have it.
struct Origin {
    architecture: String,
    config: BTreeMap<String, String>,
    devices: BTreeMap<String, BTreeMap<String, String>>,
    expanded_devices: BTreeMap<String, BTreeMap<String, String>>,
    profiles: Vec<String>,
    description: String,
    kind: String,
}

async fn origin(source: &Target) -> Result<Origin> {
    let (instance, snapshot) = match source.name.split_once('/') {
        Some((instance, snapshot)) => (instance, Some(snapshot)),
        None => (source.name.as_str(), None),
    };
    let path = format!("/1.0/instances/{}", encode(instance));
    let of: Instance = source.client.get(&path).await?;
    let mut origin = Origin {
        architecture: of.architecture,
        config: of.config,
        devices: of.devices,
        expanded_devices: of.expanded_devices,
        profiles: of.profiles,
        description: of.description,
        kind: of.kind,
    };
    if let Some(snapshot) = snapshot {
        let of: InstanceSnapshot =
            source.client.get(&format!("{path}/snapshots/{}", encode(snapshot))).await?;
        origin = Origin {
            config: of.config,
            devices: of.devices,
            expanded_devices: of.expanded_devices,
            profiles: of.profiles,
            ..origin
        };
    }
    Ok(origin)
}

/// Makes the copy; its name.
///
/// # Errors
/// The server's, or a wrong argument.
pub async fn copy(
    cx: &Cx,
    matches: &Matches,
    source: &Target,
    target: &Target,
    refresh: bool,
) -> Result<String> {
    if source.remote != target.remote {
        bail!("Copying instances between servers is not supported yet");
    }
    let mut from = origin(source).await?;
    let mut request = InstancesPost {
        name: target.name.clone(),
        architecture: from.architecture.clone(),
        ephemeral: matches.is("ephemeral"),
        description: from.description.clone(),
        kind: from.kind.clone(),
        ..InstancesPost::default()
    };
    request.source = InstanceSource {
        kind: "copy".to_owned(),
        source: source.name.clone(),
        instance_only: matches.is("instance-only"),
        refresh,
        allow_inconsistent: matches.is("allow-inconsistent"),
        project: match matches.given("target-project") {
            true => source.client.project().to_owned(),
            false => String::new(),
        },
        ..InstanceSource::default()
    };
    from.config.retain(|key, _| !key.starts_with("volatile.") || key == "volatile.base_image");
    for pair in matches.list("config") {
        let (key, value) = keyvalue::pair(pair)?;
        from.config.insert(key.to_owned(), value.to_owned());
    }
    devices(matches, &mut from)?;
    request.profiles = Some(match () {
        () if matches.is("no-profiles") => Vec::new(),
        () if matches.given("profile") => matches.list("profile").to_vec(),
        () => from.profiles.clone(),
    });
    (request.config, request.devices) = (from.config.clone(), from.devices.clone());
    let client = match matches.value("target-project") {
        "" => target.client.with_target(matches.value("target")),
        project => target.client.with_project(project).with_target(matches.value("target")),
    };
    let present: Option<Instance> = match refresh && !target.name.is_empty() {
        true => client.get(&format!("/1.0/instances/{}", target.segment())).await.ok(),
        false => None,
    };
    let mut operation = client.start("POST", "/1.0/instances", Some(&request)).await?;
    follow::wait(cx, &mut operation, "Transferring instance").await?;
    if let Some(present) = present {
        let put = refreshed(present, &request);
        let path = format!("/1.0/instances/{}", target.segment());
        let mut operation = client.start("PUT", &path, Some(&put)).await?;
        follow::wait(cx, &mut operation, "").await?;
    }
    if !target.name.is_empty() {
        return Ok(target.name.clone());
    }
    super::init::made_name(&operation.state)
        .context("didn't get any affected image, instance or snapshot from server")
}

/// The configuration of a refreshed copy: that of the origin, with what the server keeps of the copy.
fn refreshed(present: Instance, request: &InstancesPost) -> InstancePut {
    let mut config = request.config.clone();
    config.extend(present.config.into_iter().filter(|(key, _)| key.starts_with("volatile.")));
    InstancePut {
        architecture: request.architecture.clone(),
        config,
        devices: request.devices.clone(),
        ephemeral: present.ephemeral,
        profiles: request.profiles.clone().unwrap_or_default(),
        description: request.description.clone(),
        ..InstancePut::default()
    }
}

/// `--storage` and `--device`.
fn devices(matches: &Matches, from: &mut Origin) -> Result<()> {
    if matches.given("storage") {
        let is_root = |device: &BTreeMap<String, String>| {
            device.get("type").is_some_and(|kind| kind == "disk")
                && device.get("path").is_some_and(|path| path == "/")
                && device.get("source").is_none_or(String::is_empty)
        };
        let found = from.expanded_devices.iter().find(|(_, device)| is_root(device));
        let (name, mut device) = found.map_or_else(
            || {
                let fresh = [("type", "disk"), ("path", "/")];
                let fresh = fresh.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
                ("root".to_owned(), fresh.collect())
            },
            |(name, device)| (name.clone(), device.clone()),
        );
        device.insert("pool".to_owned(), matches.value("storage").to_owned());
        from.devices.insert(name, device);
    }
    for word in matches.list("device") {
        let Some((name, pair)) = word.split_once(',') else {
            bail!("Bad device override syntax, expecting <device>,<key>=<value>: {word}");
        };
        let (key, value) = keyvalue::pair(pair)?;
        let inherited = from.expanded_devices.get(name).cloned().unwrap_or_default();
        let device = from.devices.entry(name.to_owned()).or_insert(inherited);
        device.insert(key.to_owned(), value.to_owned());
    }
    Ok(())
}
