//! `POST /1.0/instances`: a new instance from an image, or an empty one.

use std::sync::Arc;

use chrono::Utc;
use lxd_api::instance::InstancesPost;
use lxd_auth::Permit;
use lxd_db::{Tx, instances, profiles, projects, storage_pools, storage_volumes};
use lxd_instance::{expand_config, expand_devices};
use lxd_storage::{VolumeKind, VolumeRef};
use lxd_task::operation::Operation;
use lxd_task::{OpHandle, OperationSpec};
use lxd_types::arch::Architecture;
use lxd_types::names::InstanceName;
use lxd_types::{Config, Devices, Error, InstanceKind, Result};

use super::devices::Owner;
use super::rules;
use super::source::{Source, Wanted};
use super::{InstanceKey, copy, idmap, import, volatile};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::{Change, Newcomer, allowed, allowed_early, check_volatile};
use crate::{SharedCore, Undo};

/// A parsed request: a wrong name, kind or source cannot be written down in it.
#[derive(Clone, Debug)]
pub struct CreateInstance {
    /// Project and name.
    pub key: InstanceKey,
    /// Container or virtual machine.
    pub kind: InstanceKind,
    /// Given architecture; that of the image or host otherwise.
    pub architecture: Option<Architecture>,
    /// Removed when it stops.
    pub ephemeral: bool,
    /// Text of the user.
    pub description: String,
    /// Its own keys.
    pub config: Config,
    /// Its own devices.
    pub devices: Devices,
    /// Its profiles, in order.
    pub profiles: Vec<String>,
    /// Where its files come from.
    pub source: Source,
    /// Its id for all time: always a fresh one, because undoing an interrupted creation goes by it.
    pub uuid: String,
}

/// What will be recorded and done; made from the facts of one transaction.
#[derive(Clone, Debug)]
pub struct CreatePlan {
    /// The row.
    pub row: instances::NewInstance,
    /// The row of its root volume.
    pub volume: storage_volumes::NewVolume,
    /// The pool of that volume.
    pub pool: String,
    /// Size of the root disk in bytes.
    pub size: Option<u64>,
    /// The keys that will hold.
    pub config: Config,
    /// The devices that will hold.
    pub expanded: Devices,
}

/// Starts the creation; the answer is its operation.
///
/// # Errors
/// The request is wrong, or names an image or a profile that does not exist.
pub async fn create(core: &SharedCore, permit: &Permit, post: InstancesPost) -> Result<Arc<Operation>> {
    let request = parse(core, permit, post).await?;
    let key = request.key.clone();
    let mut spec = OperationSpec::task("Creating instance", key.project.as_str())
        .on("instances", key.url())
        .on("containers", format!("/1.0/containers/{}", key.name))
        .by(permit.caller().requestor());
    if let Source::Copy(copy) = &request.source {
        spec = spec.on("instances", copy.resource("instances")).on("containers", copy.resource("containers"));
    }
    if !is_refresh(core, &request).await? {
        refuse_early(core, &request).await?;
    }
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |op| async move {
        match &request.source {
            Source::Copy(copy) if is_refresh(&core, &request).await? => {
                copy::refresh(&core, &permit, &op, &key, copy).await
            }
            _ => run(&core, &permit, &op, request).await,
        }
    }))
}

/// True when files and snapshots of an instance that is there are made those of another: its configuration stays.
async fn is_refresh(core: &SharedCore, request: &CreateInstance) -> Result<bool> {
    match &request.source {
        Source::Copy(copy) if copy.refresh => copy::exists(core, &request.key).await,
        _ => Ok(false),
    }
}

/// What the project forbids is told at once; the transaction that records the instance decides.
async fn refuse_early(core: &SharedCore, request: &CreateInstance) -> Result<()> {
    let (registry, ids, wanted) = (core.device_registry(), core.host_ids.clone(), request.clone());
    core.db
        .read(move |tx| {
            // Anything else that is wrong is the operation's to tell.
            let Ok(plan) = plan_create(tx, &registry, &ids, &wanted) else { return Ok(()) };
            let newcomer = Newcomer {
                name: plan.row.name,
                kind: wanted.kind,
                config: plan.config,
                devices: plan.expanded,
            };
            allowed_early(tx, wanted.key.project.as_str(), Change::NewInstance(&wanted.key), newcomer)
        })
        .await
}

/// Asks the host about the devices; the rules are applied again when the instance is recorded.
async fn check_host(core: &SharedCore, request: &CreateInstance) -> Result<()> {
    let (registry, ids, wanted) = (core.device_registry(), core.host_ids.clone(), request.clone());
    let failed = |error: Error| error.context("Failed creating instance record");
    let plan = core.db.read(move |tx| plan_create(tx, &registry, &ids, &wanted)).await.map_err(failed)?;
    let owner = Owner { key: &request.key, kind: request.kind, own: &plan.row.config, config: &plan.config };
    super::devices::check_added(core, owner, &Devices::new(), &plan.expanded)
        .await
        .map_err(|error| failed(error.context("Failed initialising instance")))
}

/// Checks form and references of the request.
async fn parse(core: &SharedCore, permit: &Permit, post: InstancesPost) -> Result<CreateInstance> {
    let source = Source::parse(&post.source, permit.project(), post.kind == "virtual-machine")?;
    let post = match &source {
        Wanted::Copy(copy) => copy::complete(core, permit, copy, post).await?,
        _ => post,
    };
    let source = source.resolve(core, permit.project()).await?;
    with_source(core, permit, post, source).await
}

/// Starts to make an instance of a received backup; the answer is the operation.
///
/// # Errors
/// The request that was made of it is wrong.
pub(super) async fn restore(
    core: &SharedCore,
    permit: &Permit,
    post: InstancesPost,
    source: Source,
) -> Result<Arc<Operation>> {
    let request = with_source(core, permit, post, source).await?;
    let spec = OperationSpec::task("Restoring backup", request.key.project.as_str())
        .on("instances", request.key.url())
        .on("containers", format!("/1.0/containers/{}", request.key.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |op| async move { run(&core, &permit, &op, request).await }))
}

/// Checks the rest of a request whose source was found.
async fn with_source(
    core: &SharedCore,
    permit: &Permit,
    post: InstancesPost,
    source: Source,
) -> Result<CreateInstance> {
    let kind = rules::kind(&post.kind)?;
    let architecture = rules::architecture(&post.architecture)?;
    let name: InstanceName = if post.name.is_empty() { rules::random_name() } else { post.name.parse()? };
    let key = InstanceKey::new(permit.project(), &name);
    let profiles = match post.profiles {
        Some(given) => given,
        None => source.profiles(core, permit.project()).await?,
    };
    let (project, wanted) = (key.project.to_string(), profiles.clone());
    core.db
        .read(move |tx| {
            projects::require(tx, &project).map_err(|error| error.context("Failed loading project"))?;
            let owner = projects::owner_of(tx, &project, "profiles")?;
            for name in &wanted {
                if profiles::find(tx, owner, name)?.is_none() {
                    // The reference's answer, status included.
                    return Err(Error::internal(format!("Requested profile {name:?} doesn't exist")));
                }
            }
            Ok(())
        })
        .await?;
    Ok(CreateInstance {
        key,
        kind,
        architecture,
        ephemeral: post.ephemeral,
        description: post.description,
        config: with_type(&post.instance_type, without_empty(post.config))?,
        devices: post.devices,
        profiles,
        source,
        uuid: uuid::Uuid::new_v4().to_string(),
    })
}

/// The keys of the request over the limits of the instance type that it names.
fn with_type(name: &str, config: Config) -> Result<Config> {
    let mut all = match name {
        "" => Config::new(),
        name => lxd_instance::instance_type::limits(name)?,
    };
    all.extend(config);
    Ok(all)
}

fn without_empty(config: Config) -> Config {
    config.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// The creation inside its gate; every step that leaves something behind is in the journal.
async fn run(core: &SharedCore, permit: &Permit, op: &OpHandle, mut request: CreateInstance) -> Result<()> {
    let key = request.key.clone();
    let _gate = core.gates.enter(key.to_string(), "create")?;
    let _source = match &request.source {
        // One of the same name is told so by the database.
        Source::Copy(copy) if copy.instance != key => Some(copy::hold(core, op, copy).await?),
        _ => None,
    };
    op.step("fetching the image");
    request.source = request.source.here(core, permit, op).await?;
    let place = check_place(core, &request).await?;
    core.undoable(async |undo: &mut Log| {
        op.step("recording");
        let (project, name, uuid) = (key.project.clone(), key.name.clone(), request.uuid.clone());
        undo.push(Undo::CreateInstance { project, name, uuid }).await?;
        let plan = record(core, &request, &place).await?;
        core.faults.point("instance recorded")?;
        op.step("creating the root volume");
        match &request.source {
            Source::Copy(copy) => copy::copy_files(core, undo, copy, &key, &plan).await?,
            Source::Backup(backup) => import::fill(core, op, backup, &key, &plan).await?,
            _ => fill(core, op, &request, &plan).await?,
        }
        core.faults.point("root volume filled")?;
        super::files::prepare_directories(core, &key).await?;
        core.faults.point("directories made")
    })
    .await?;
    super::nics::announce(core, &key).await;
    core.tell(
        permit.caller(),
        Lifecycle::new("instance-created", key.url())
            .in_project(&key.project)
            .with("type", request.kind.name())
            .with("location", "none"),
    );
    if matches!(request.source, Source::Copy(_) | Source::Backup(_)) {
        copy::tell_snapshots(core, permit, &key).await;
    }
    Ok(())
}

/// The pool of the new instance. A volume of this name without a row is not ours: it is neither used nor, by an undo,
/// removed.
async fn check_place(core: &SharedCore, request: &CreateInstance) -> Result<String> {
    let failed = |error: Error| error.context("Failed creating instance record");
    check_host(core, request).await?;
    let (wanted, registry, ids) = (request.clone(), core.device_registry(), core.host_ids.clone());
    let planned = core.db.read(move |tx| {
        let plan = plan_create(tx, &registry, &ids, &wanted)?;
        let taken = instances::find(tx, plan.row.project_id, &plan.row.name)?.is_some();
        Ok((plan.pool, taken))
    });
    let (name, taken) = planned.await.map_err(failed)?;
    if taken {
        return Ok(name); // The record says so.
    }
    let pool = crate::storage_pools::open(core, &name).await?;
    if pool.exists(&VolumeRef::container(&request.key.project, &request.key.name)).await? {
        return Err(Error::conflict(format!(
            "Storage pool {:?} holds a volume of the name {:?} that the database does not know (see \"lxd recover\")",
            name,
            request.key.name.as_str()
        )));
    }
    Ok(name)
}

/// One transaction: plan on the present facts, then rows of instance and root volume.
async fn record(core: &SharedCore, request: &CreateInstance, place: &str) -> Result<CreatePlan> {
    let (request, place) = (request.clone(), place.to_owned());
    let registry = core.device_registry();
    let ids = core.host_ids.clone();
    core.db
        .write(move |tx| {
            let plan = plan_create(tx, &registry, &ids, &request)?;
            if plan.pool != place {
                return Err(Error::conflict("The root disk was moved to another storage pool meanwhile"));
            }
            let instance = instances::insert(tx, &plan.row).map_err(taken)?;
            allowed(tx, request.key.project.as_str(), Change::NewInstance(&request.key))?;
            let volume = storage_volumes::insert(tx, &plan.volume)?;
            match &request.source {
                Source::Copy(copy) => copy::record_snapshots(tx, copy, &plan, instance, volume)?,
                Source::Backup(backup) => import::record_snapshots(tx, backup, &plan, instance, volume)?,
                Source::Image { .. } | Source::Remote(_) | Source::Empty => {}
            }
            request.source.mark_used(tx, request.key.project.as_str(), plan.row.created)?;
            Ok(plan)
        })
        .await
        .map_err(|error| error.context("Failed creating instance record"))
}

fn taken(error: Error) -> Error {
    match error.kind() {
        lxd_types::Kind::Conflict => Error::conflict("This \"instances\" entry already exists")
            .context("Add instance info to the database"),
        _ => error,
    }
}

/// What will be recorded, from the facts of this transaction. Nothing is changed.
///
/// # Errors
/// The first rule that the request breaks.
pub fn plan_create(
    tx: &Tx<'_>,
    registry: &lxd_device::Registry,
    ids: &Result<idmap::HostIds, String>,
    request: &CreateInstance,
) -> Result<CreatePlan> {
    let project = projects::get(tx, request.key.project.as_str())?;
    let owner = projects::owner_of(tx, &project.name, "profiles")?;
    let of = profiles::by_names(tx, owner, &request.profiles)?;
    // Of those of a backup only harmless ones were taken over.
    if !matches!(request.source, Source::Backup(_)) {
        check_volatile(&project, request.kind, request.key.name.as_str(), &Config::new(), &request.config)?;
    }
    let image = request.source.image_facts(tx, &project.name)?;
    let mut own = request.source.image_config(&image);
    own.extend(request.config.clone());
    rules::check_new_config(&request.config, &own, request.kind)?;
    rules::check_new_names(registry, &request.profiles, &request.devices)?;
    let config = expand_config(of.iter().map(|p| &p.config), &own);
    let devices = expand_devices(of.iter().map(|p| &p.devices), &request.devices);
    let facts = crate::instances::facts::device_facts(tx, &project)?;
    let failed = |error: Error| error.context("Failed initialising instance");
    let (pool, size) = rules::root_disk(&devices)
        .map_err(|error| match devices.is_empty() {
            true => error.context("Failed getting root disk"),
            false => error.context("Failed detecting root disk device").context("Invalid devices"),
        })
        .map_err(failed)?;
    rules::check_devices(registry, request.kind, &devices, &facts)
        .map_err(|error| failed(error.context("Invalid devices")))?;
    let pool_id = storage_pools::require(tx, &pool)
        .map_err(|error| failed(error.context("Failed loading storage pool")))?;
    volatile::new_instance(&mut own, &devices, request);
    idmap::assign(tx, &mut own, &config, ids)?;
    own.insert("volatile.last_state.idmap".to_owned(), "[]".to_owned());
    let architecture = request.source.architecture(&image, request.architecture)?;
    rules::check_runs(architecture).map_err(|error| error.context("Failed creating instance record"))?;
    let row = instances::NewInstance {
        project_id: project.id,
        node_id: lxd_db::nodes::LONE,
        name: request.key.name.to_string(),
        architecture: architecture.id(),
        kind: request.kind.id(),
        ephemeral: request.ephemeral,
        created: Utc::now(),
        stateful: false,
        last_used: None,
        description: request.description.clone(),
        config: own,
        devices: request.devices.clone(),
        profiles: of.iter().map(|p| p.id).collect(),
    };
    let volume = storage_volumes::NewVolume {
        name: row.name.clone(),
        pool_id,
        kind: VolumeKind::Container.number(),
        ..storage_volumes::NewVolume::here(project.id)
    };
    Ok(CreatePlan { row, volume, pool, size, config, expanded: devices })
}

/// Makes the root volume and fills it from the source.
async fn fill(core: &SharedCore, op: &OpHandle, request: &CreateInstance, plan: &CreatePlan) -> Result<()> {
    let volume = VolumeRef::container(&request.key.project, &request.key.name);
    let filler = request.source.filler(core, op);
    let made = match &request.source {
        Source::Image { fingerprint } => {
            let pool = plan.pool.parse()?;
            crate::storage_pools::create_from_image(core, &pool, fingerprint, &volume, plan.size, filler)
                .await
        }
        Source::Empty | Source::Remote(_) | Source::Copy(_) | Source::Backup(_) => {
            let pool = crate::storage_pools::open(core, &plan.pool).await?;
            pool.create(&volume, plan.size, Some(filler)).await
        }
    };
    made.map_err(|error| error.context("Failed creating instance from image"))?;
    op.check()
}
