//! `lxd init --auto` and `--minimal`: what is missing, with defaults.

use lxd_types::{Error, Result};
use serde_json::Value;

use super::Init;
use super::facts::{Facts, KNOWN_BACKENDS};
use super::preseed::{Network, Preseed, StoragePool, device};

/// The port of the API where none is given.
const PORT: i64 = 8443;

/// What to set up.
///
/// # Errors
/// Flags that contradict each other or the server.
pub fn plan(flags: &Init, facts: &Facts) -> Result<Preseed> {
    check_storage(flags, facts)?;
    let mut preseed = Preseed::default();
    network_address(flags, &mut preseed)?;
    if facts.pools.is_empty() {
        let pool = pool(flags);
        let root = device(&[("type", "disk"), ("path", "/"), ("pool", &pool.name)]);
        preseed.default_profile().devices.insert("root".to_owned(), root);
        preseed.storage_pools.push(pool);
    }
    if facts.networks.is_empty() {
        let name = facts.free_bridge();
        let nic = device(&[("type", "nic"), ("name", "eth0"), ("network", &name)]);
        preseed.default_profile().devices.insert("eth0".to_owned(), nic);
        preseed.networks.push(Network { name, project: "default".to_owned(), ..Network::default() });
    }
    Ok(preseed)
}

fn check_storage(flags: &Init, facts: &Facts) -> Result<()> {
    let refuse = |text: String| Err(Error::bad_request(text));
    let backend = backend(flags);
    if !KNOWN_BACKENDS.contains(&backend) {
        return refuse(format!("The requested backend '{backend}' isn't supported by lxd init"));
    }
    if !facts.backends.iter().any(|known| known == backend) {
        return refuse(format!(
            "The requested backend '{backend}' isn't available on your system (missing tools)"
        ));
    }
    let (device, size) = (!flags.storage_create_device.is_empty(), flags.storage_create_loop != -1);
    if backend == "dir" && (device || size || !flags.storage_pool.is_empty()) {
        return refuse(
            "None of --storage-pool, --storage-create-device or --storage-create-loop may be used with the 'dir' \
             backend"
                .to_owned(),
        );
    }
    if device && size {
        return refuse(
            "Only one of --storage-create-device or --storage-create-loop can be specified".to_owned(),
        );
    }
    if !facts.pools.is_empty() && !flags.storage_backend.is_empty() {
        return refuse("Storage has already been configured".to_owned());
    }
    Ok(())
}

fn backend(flags: &Init) -> &str {
    if flags.storage_backend.is_empty() { "dir" } else { &flags.storage_backend }
}

fn pool(flags: &Init) -> StoragePool {
    let name = if flags.storage_pool.is_empty() { "default" } else { &flags.storage_pool };
    let mut pool =
        StoragePool { name: name.to_owned(), driver: backend(flags).to_owned(), ..StoragePool::default() };
    if !flags.storage_create_device.is_empty() {
        pool.config.insert("source".to_owned(), flags.storage_create_device.clone());
    }
    if flags.storage_create_loop != -1 {
        pool.config.insert("size".to_owned(), format!("{}GB", flags.storage_create_loop));
    }
    pool
}

fn network_address(flags: &Init, preseed: &mut Preseed) -> Result<()> {
    if flags.network_address.is_empty() {
        if flags.network_port != -1 {
            return Err(Error::bad_request("--network-port can't be used without --network-address"));
        }
        if !flags.trust_password.is_empty() {
            return Err(Error::bad_request("--trust-password can't be used without --network-address"));
        }
        return Ok(());
    }
    let port = if flags.network_port == -1 { PORT } else { flags.network_port };
    let address = join(&flags.network_address, &port.to_string());
    preseed.config.insert("core.https_address".to_owned(), Value::String(address));
    if !flags.trust_password.is_empty() {
        let password = Value::String(flags.trust_password.clone());
        preseed.config.insert("core.trust_password".to_owned(), password);
    }
    Ok(())
}

/// Address and port as one word.
pub fn join(address: &str, port: &str) -> String {
    if address.contains(':') && !address.starts_with('[') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Interface;
    use super::*;

    fn flags() -> Init {
        Init { auto: true, network_port: -1, storage_create_loop: -1, ..Init::default() }
    }

    fn facts() -> Facts {
        Facts { backends: vec!["btrfs".into(), "dir".into()], ..Facts::default() }
    }

    #[test]
    fn a_fresh_server_gets_pool_and_bridge() {
        let taken = Interface { name: "lxdbr0".into(), bridge: true };
        let preseed = plan(&flags(), &Facts { interfaces: vec![taken], ..facts() }).unwrap();
        assert_eq!(
            (preseed.storage_pools[0].name.as_str(), preseed.storage_pools[0].driver.as_str()),
            ("default", "dir")
        );
        assert_eq!(preseed.networks[0].name, "lxdbr1");
        let devices = &preseed.profiles[0].devices;
        assert_eq!(devices["eth0"]["network"], "lxdbr1");
        assert_eq!(devices["root"]["pool"], "default");
        let all = Facts { pools: vec!["p".into()], networks: vec!["n".into()], ..facts() };
        assert_eq!(plan(&flags(), &all).unwrap(), Preseed::default());
    }

    #[test]
    fn settings() {
        let flags = Init {
            network_address: "::1".into(),
            trust_password: "x".into(),
            storage_backend: "btrfs".into(),
            storage_create_loop: 5,
            storage_pool: "pp".into(),
            ..flags()
        };
        let preseed = plan(&flags, &facts()).unwrap();
        assert_eq!(preseed.config["core.https_address"], "[::1]:8443");
        assert_eq!(preseed.config["core.trust_password"], "x");
        assert_eq!(
            (preseed.storage_pools[0].name.as_str(), preseed.storage_pools[0].config["size"].as_str()),
            ("pp", "5GB")
        );
    }

    #[test]
    fn refusals() {
        let refused = |flags: Init, facts: Facts| plan(&flags, &facts).unwrap_err().chain();
        let backend = |name: &str| Init { storage_backend: name.into(), ..flags() };
        assert_eq!(
            refused(backend("foo"), facts()),
            "The requested backend 'foo' isn't supported by lxd init"
        );
        assert_eq!(
            refused(backend("lvm"), facts()),
            "The requested backend 'lvm' isn't available on your system (missing tools)"
        );
        let full = Facts { pools: vec!["p".into()], ..facts() };
        assert_eq!(refused(backend("btrfs"), full), "Storage has already been configured");
        let looped = Init { storage_create_loop: 5, ..backend("dir") };
        assert!(refused(looped, facts()).starts_with("None of --storage-pool"));
        let both =
            Init { storage_create_loop: 5, storage_create_device: "/dev/x".into(), ..backend("btrfs") };
        assert!(refused(both, facts()).starts_with("Only one of"));
        let port = Init { network_port: 99, ..flags() };
        assert_eq!(refused(port, facts()), "--network-port can't be used without --network-address");
    }
}
