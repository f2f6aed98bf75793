//! `lxc init`, and the making of instances for `lxc launch`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use lxd_api::image::{Image, ImageAliasesEntry};
use lxd_api::instance::{Instance, InstancePut, InstanceSource, InstancesPost};
use lxd_api::network::Network;
use lxd_api::profile::Profile;
use lxd_api::storage_pool::StoragePool;
use lxd_client::{Client, encode};

use crate::cli::{Flag, Matches, Spec, list, switch, usage, value};
use crate::cx::Cx;
use crate::{editor, follow, keyvalue, stdin};

/// Flags of `init` and `launch`.
pub const FLAGS: &[Flag] = &[
    list("config", "key=value for the new instance").short('c'),
    list("device", "device,key=value for the new instance").short('d'),
    switch("empty", "Make an instance without an image"),
    switch("ephemeral", "Delete the instance when it stops").short('e'),
    value("network", "Network for the new instance").short('n'),
    switch("no-profiles", "Without profiles"),
    list("profile", "Profile of the new instance").short('p'),
    value("storage", "Storage pool").short('s'),
    value("target", "Name of the cluster member"),
    value("type", "Instance type, as clouds name it").short('t'),
    switch("vm", "Make a virtual machine"),
];

/// The command.
pub static SPEC: Spec = Spec {
    name: "init",
    args: "[<remote>:]<image> [<remote>:][<name>]",
    about: "Make an instance without starting it",
    examples: "  lxc init ubuntu:22.04 u1\n\n  lxc init ubuntu:22.04 u1 < config.yaml\n      With the configuration of a file.",
    flags: FLAGS,
    count: (0, 2),
    hidden: true,
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    create(cx, matches).await.map(drop)
}

/// Makes the instance; `None` when only the usage was printed.
///
/// # Errors
/// The server's, or a wrong argument.
pub async fn create(cx: &Cx, matches: &Matches) -> Result<Option<(Client, String)>> {
    if matches.args.is_empty() && !matches.is("empty") {
        eprint!("{}", usage(matches));
        return Ok(None);
    }
    if matches.is("empty") && matches.args.len() > 1 {
        bail!("--empty cannot be combined with an image name");
    }
    let file: InstancePut =
        if stdin::is_terminal() { InstancePut::default() } else { editor::from_yaml(&stdin::read_all()?)? };

    let (image, place) =
        if matches.is("empty") { ("", matches.arg(0)) } else { (matches.arg(0), matches.arg(1)) };
    let (image_remote, image_name) = cx.split(image)?;
    // Without a target remote the instance is made where the image is, if that is an instance server.
    let (remote, name) = if place.contains(':') || image.is_empty() || !image.contains(':') {
        cx.split(place)?
    } else {
        let source = cx.remote(&image_remote)?;
        let remote =
            if source.public || source.is_image_server() { cx.split("")?.0 } else { image_remote.clone() };
        (remote, place.to_owned())
    };
    let client = cx.client(&remote)?.with_target(matches.value("target"));
    if !cx.quiet {
        if name.is_empty() { println!("Creating the instance") } else { println!("Creating {name}") }
    }

    let mut request = from_file(file);
    request.name.clone_from(&name);
    request.kind = if matches.is("vm") { "virtual-machine" } else { "container" }.to_owned();
    request.instance_type = matches.value("type").to_owned();
    request.ephemeral = matches.is("ephemeral") || request.ephemeral;
    profiles(matches, &mut request);
    for pair in matches.list("config") {
        let (key, value) = keyvalue::pair(pair)?;
        request.config.insert(key.to_owned(), value.to_owned());
    }
    devices(&client, matches, &mut request).await?;
    request.source = if matches.is("empty") {
        InstanceSource { kind: "none".into(), ..InstanceSource::default() }
    } else {
        source(cx, &image_remote, &image_name, &remote, &mut request.kind).await?
    };
    let mut operation = client.start("POST", "/1.0/instances", Some(&request)).await?;
    follow::wait(cx, &mut operation, "Retrieving image").await?;
    let name = if name.is_empty() {
        let made = made_name(&operation.state)
            .context("didn't get any affected image, instance or snapshot from server")?;
        println!("Instance name is: {made}");
        made
    } else {
        name
    };
    hint_without_network(&client, &name).await;
    Ok(Some((client, name)))
}

/// Tells users whose instance has no network how to get one.
async fn hint_without_network(client: &Client, name: &str) {
    let Ok(instance) = client.get::<Instance>(&format!("/1.0/instances/{}", encode(name))).await else {
        return;
    };
    if instance.expanded_devices.values().any(|device| device.get("type").is_some_and(|kind| kind == "nic")) {
        return;
    }
    eprintln!("\nThe instance you are starting doesn't have any network attached to it.");
    eprintln!("  To create a new network, use: lxc network create");
    eprintln!("  To attach a network to an instance, use: lxc network attach\n");
}

fn from_file(file: InstancePut) -> InstancesPost {
    InstancesPost {
        architecture: file.architecture,
        config: file.config,
        devices: file.devices,
        ephemeral: file.ephemeral,
        // Absent profiles mean "default"; an empty list means none.
        profiles: Some(file.profiles).filter(|names| !names.is_empty()),
        stateful: file.stateful,
        description: file.description,
        ..InstancesPost::default()
    }
}

fn profiles(matches: &Matches, request: &mut InstancesPost) {
    if matches.is("no-profiles") {
        request.profiles = Some(Vec::new());
    } else if matches.given("profile") {
        request.profiles = Some(matches.list("profile").to_vec());
    }
}

/// The name that the server chose, from the operation's resources.
pub fn made_name(operation: &lxd_api::operation::Operation) -> Option<String> {
    let url =
        operation.resources.get("instances").or_else(|| operation.resources.get("containers"))?.first()?;
    url.split('?').next()?.rsplit('/').next().map(str::to_owned)
}

/// Devices from `--network`, `--storage` and `--device`.
async fn devices(client: &Client, matches: &Matches, request: &mut InstancesPost) -> Result<()> {
    if matches.given("network") {
        let name = matches.value("network");
        let network: Network = client
            .get(&format!("/1.0/networks/{}", encode(name)))
            .await
            .with_context(|| format!("Failed loading network {name:?}"))?;
        let device = if network.managed && network.kind == "bridge" {
            [("name", "eth0"), ("type", "nic"), ("network", name)].to_vec()
        } else {
            let nictype = if network.kind == "bridge" { "bridged" } else { "macvlan" };
            [("name", "eth0"), ("type", "nic"), ("nictype", nictype), ("parent", name)].to_vec()
        };
        request.devices.insert("eth0".into(), map(&device));
    }
    if matches.given("storage") {
        let name = matches.value("storage");
        client
            .get::<StoragePool>(&format!("/1.0/storage-pools/{}", encode(name)))
            .await
            .with_context(|| format!("Failed loading storage pool {name:?}"))?;
        request.devices.insert("root".into(), map(&[("type", "disk"), ("path", "/"), ("pool", name)]));
    }
    overrides(client, matches, request).await
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// `--device NAME,KEY=VALUE` changes a device of a profile or adds to one given before.
async fn overrides(client: &Client, matches: &Matches, request: &mut InstancesPost) -> Result<()> {
    let mut inherited: Option<lxd_api::DeviceMap> = None;
    for word in matches.list("device") {
        let Some((name, pair)) = word.split_once(',') else {
            bail!("Bad device override syntax, expecting <device>,<key>=<value>: {word}");
        };
        let (key, value) = keyvalue::pair(pair)?;
        if !request.devices.contains_key(name) && inherited.is_none() {
            inherited = Some(profile_devices(client, request).await?);
        }
        if !request.devices.contains_key(name) && key != "type" {
            let found = inherited.as_ref().and_then(|devices| devices.get(name));
            let Some(device) = found else {
                bail!("Cannot override config for device {name:?}: Device not found in profile devices");
            };
            request.devices.insert(name.to_owned(), device.clone());
        }
        request.devices.entry(name.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }
    Ok(())
}

async fn profile_devices(client: &Client, request: &InstancesPost) -> Result<lxd_api::DeviceMap> {
    let default = vec!["default".to_owned()];
    let names = request.profiles.as_ref().unwrap_or(&default);
    let mut devices = lxd_api::DeviceMap::new();
    for name in names {
        let profile: Profile = client
            .get(&format!("/1.0/profiles/{}", encode(name)))
            .await
            .with_context(|| format!("Failed loading profile {name:?}"))?;
        devices.extend(profile.devices);
    }
    Ok(devices)
}

/// Where the image comes from. What the image is for says what kind of instance it becomes.
async fn source(
    cx: &Cx,
    remote: &str,
    name: &str,
    target: &str,
    kind: &mut String,
) -> Result<InstanceSource> {
    let server = cx.remote(remote)?;
    let mut source = InstanceSource { kind: "image".into(), ..InstanceSource::default() };
    if server.is_image_server() {
        source.mode = "pull".into();
        source.server = server.addr;
        source.protocol = server.protocol;
        source.certificate =
            std::fs::read_to_string(cx.conf().server_certificate(remote)).unwrap_or_default();
        source.alias = if name.is_empty() { "default".into() } else { name.to_owned() };
        return Ok(source);
    }
    let client = cx.image_client(remote)?;
    let name = if name.is_empty() { "default" } else { name };
    let image = find_image(&client, name).await?;
    if kind == "virtual-machine" && image.kind == "container" {
        bail!("Asked for a VM but image is of type container");
    }
    if image.kind == "virtual-machine" {
        kind.clone_from(&image.kind);
    }
    source.fingerprint = image.fingerprint.clone();
    if remote != target {
        source.mode = "pull".into();
        (source.server, source.certificate) = cx.reachable(remote).await?;
        source.protocol = "lxd".into();
        source.project = client.project().to_owned();
        if !image.public {
            source.secret = super::image::secret(&client, &image.fingerprint).await?;
        } else if image.aliases.iter().any(|alias| alias.name == name) {
            // What was asked for by an alias is kept up to date.
            source.alias = name.to_owned();
            source.fingerprint.clear();
        }
    }
    Ok(source)
}

/// An image by alias or fingerprint (or the beginning of one).
///
/// # Errors
/// There is no such image.
pub async fn find_image(client: &Client, name: &str) -> Result<Image> {
    let fingerprint =
        match client.get::<ImageAliasesEntry>(&format!("/1.0/images/aliases/{}", encode(name))).await {
            Ok(alias) => alias.target,
            Err(error) if error.is_not_found() => name.to_owned(),
            Err(error) => return Err(error.into()),
        };
    Ok(client.get(&format!("/1.0/images/{}", encode(&fingerprint))).await?)
}
