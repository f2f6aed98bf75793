//! The questions of `lxd init`, in the order and with the words of the reference.

use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt;

use lxd_types::cidr::{Ipv4Cidr, Ipv6Cidr};
use lxd_types::names::NetworkName;
use lxd_types::{Error, Result};
use serde_json::Value;

use super::ask::Ask;
use super::auto::join;
use super::facts::Facts;
use super::preseed::{Config, Network, Preseed, StoragePool, device};

/// Asks for everything. The second value is true when the document shall be shown.
///
/// # Errors
/// The input has ended, or something was wanted that this server cannot do.
pub fn ask(ask: &mut Ask, facts: &Facts) -> Result<(Preseed, bool)> {
    let mut preseed = Preseed::default();
    if ask.yes("Would you like to use LXD clustering? (yes/no)", false)? {
        return Err(Error::not_implemented("Clustering is not supported yet"));
    }
    storage(ask, facts, &mut preseed)?;
    let maas = maas(ask, facts, &mut preseed)?;
    networking(ask, facts, maas, &mut preseed)?;
    server(ask, &mut preseed)?;
    if !ask.yes("Would you like stale cached images to be updated automatically? (yes/no)", true)? {
        preseed.config.insert("images.auto_update_interval".to_owned(), Value::String("0".to_owned()));
    }
    let show = ask.yes("Would you like a YAML \"lxd init\" preseed to be printed? (yes/no)", false)?;
    Ok((preseed, show))
}

fn storage(ask: &mut Ask, facts: &Facts, preseed: &mut Preseed) -> Result<()> {
    if facts.backends.is_empty() || !ask.yes("Do you want to configure a new storage pool? (yes/no)", true)? {
        return Ok(());
    }
    let name = loop {
        let name = ask.text("Name of the new storage pool", Some("default"), |_| Ok(()))?;
        if !facts.pools.contains(&name) {
            break name;
        }
        ask.say(&format!(
            "The requested storage pool \"{name}\" already exists. Please choose another name.\n"
        ))?;
    };
    let mut pool = StoragePool { name, driver: backend(ask, facts)?, ..StoragePool::default() };
    if pool.driver != "dir" {
        pool_source(ask, facts, &mut pool)?;
    }
    let root = device(&[("type", "disk"), ("path", "/"), ("pool", &pool.name)]);
    preseed.default_profile().devices.insert("root".to_owned(), root);
    preseed.storage_pools.push(pool);
    Ok(())
}

fn backend(ask: &mut Ask, facts: &Facts) -> Result<String> {
    if let [only] = facts.backends.as_slice() {
        return Ok(only.clone());
    }
    let preferred = ["zfs", "btrfs", "dir"].into_iter().find(|name| facts.backends.iter().any(|b| b == name));
    let default = preferred.unwrap_or("dir");
    let question = format!("Name of the storage backend to use ({})", facts.backends.join(", "));
    ask.choice(&question, &facts.backends, default)
}

fn pool_source(ask: &mut Ask, facts: &Facts, pool: &mut StoragePool) -> Result<()> {
    let kind = pool.driver.to_ascii_uppercase();
    let (key, value) = if !ask.yes(&format!("Create a new {kind} pool? (yes/no)"), true)? {
        let question = format!("Name of the existing {kind} pool or dataset");
        ("source", ask.text(&question, None, not_empty)?)
    } else if ask.yes(
        "Would you like to use an existing empty block device (e.g. a disk or partition)? (yes/no)",
        false,
    )? {
        ("source", ask.text("Path to the existing block device", None, block_device)?)
    } else {
        let default = format!("{}GiB", facts.loop_size);
        let size =
            ask.text("Size in GiB of the new loop device (1GiB minimum)", Some(&default), |answer| {
                let number: i64 = parse_number(answer.trim_end_matches("GiB"))?;
                if number < 1 { Err("Minimum size is 1GiB".to_owned()) } else { Ok(()) }
            })?;
        ("size", format!("{}GiB", size.trim_end_matches("GiB")))
    };
    pool.config.insert(key.to_owned(), value);
    Ok(())
}

fn maas(ask: &mut Ask, facts: &Facts, preseed: &mut Preseed) -> Result<bool> {
    if !ask.yes("Would you like to connect to a MAAS server? (yes/no)", false)? {
        return Ok(false);
    }
    let host = ask.text("What's the name of this host in MAAS?", Some(&facts.host), not_empty)?;
    let url = ask.text("URL of your MAAS server (e.g. http://1.2.3.4:5240/MAAS)", None, not_empty)?;
    let key = ask.text("API key for your MAAS server", None, not_empty)?;
    let mut set = |name: &str, value: String| preseed.config.insert(name.to_owned(), Value::String(value));
    if host != facts.host {
        set("maas.machine", host);
    }
    set("maas.api.url", url);
    set("maas.api.key", key);
    Ok(true)
}

fn networking(ask: &mut Ask, facts: &Facts, maas: bool, preseed: &mut Preseed) -> Result<()> {
    if ask.yes("Would you like to create a new local network bridge? (yes/no)", true)? {
        return new_bridge(ask, facts, preseed);
    }
    if !ask
        .yes("Would you like to configure LXD to use an existing bridge or host interface? (yes/no)", false)?
    {
        return Ok(());
    }
    let interface = loop {
        let name = ask.text("Name of the existing bridge or host interface", None, not_empty)?;
        if let Some(interface) = facts.interface(&name) {
            break interface;
        }
        ask.say("The requested interface doesn't exist. Please choose another one.\n")?;
    };
    let mut nic = if facts.networks.contains(&interface.name) {
        device(&[("type", "nic"), ("name", "eth0"), ("network", &interface.name)])
    } else {
        let kind = if interface.bridge { "bridged" } else { "macvlan" };
        device(&[("type", "nic"), ("name", "eth0"), ("nictype", kind), ("parent", &interface.name)])
    };
    if maas && ask.yes("Is this interface connected to your MAAS server? (yes/no)", true)? {
        maas_subnets(ask, &mut nic)?;
    }
    preseed.default_profile().devices.insert("eth0".to_owned(), nic);
    Ok(())
}

fn maas_subnets(ask: &mut Ask, nic: &mut Config) -> Result<()> {
    for (family, key) in [("IPv4", "maas.subnet.ipv4"), ("IPv6", "maas.subnet.ipv6")] {
        let question = format!("MAAS {family} subnet name for this interface (empty for no subnet)");
        let subnet = ask.text(&question, None, |_| Ok(()))?;
        if !subnet.is_empty() {
            nic.insert(key.to_owned(), subnet);
        }
    }
    Ok(())
}

fn new_bridge(ask: &mut Ask, facts: &Facts, preseed: &mut Preseed) -> Result<()> {
    let name = loop {
        let name = ask.text("What should the new bridge be called?", Some("lxdbr0"), |answer| {
            answer.parse::<NetworkName>().map(drop).map_err(|error| error.to_string())
        })?;
        if !facts.networks.contains(&name) {
            break name;
        }
        ask.say(&format!(
            "The requested network bridge \"{name}\" already exists. Please choose another name.\n"
        ))?;
    };
    let mut config = Config::new();
    for (family, key) in [("IPv4", "ipv4"), ("IPv6", "ipv6")] {
        let question =
            format!("What {family} address should be used? (CIDR subnet notation, “auto” or “none”)");
        let address = ask.text(&question, Some("auto"), |answer| subnet(family, answer))?;
        if address != "auto" && address != "none" {
            let nat =
                ask.yes(&format!("Would you like LXD to NAT {family} traffic on your bridge?"), true)?;
            config.insert(format!("{key}.nat"), nat.to_string());
        }
        config.insert(format!("{key}.address"), address);
    }
    let nic = device(&[("type", "nic"), ("name", "eth0"), ("network", &name)]);
    preseed.default_profile().devices.insert("eth0".to_owned(), nic);
    preseed.networks.push(Network { name, config, project: "default".to_owned(), ..Network::default() });
    Ok(())
}

fn server(ask: &mut Ask, preseed: &mut Preseed) -> Result<()> {
    if !ask.yes("Would you like the LXD server to be available over the network? (yes/no)", false)? {
        return Ok(());
    }
    let address = ask.text("Address to bind LXD to (not including port)", Some("all"), |answer| {
        if answer == "all" || answer.parse::<IpAddr>().is_ok() {
            Ok(())
        } else {
            Err(format!("{answer:?} is not an IP address"))
        }
    })?;
    let address = if address == "all" { "::".to_owned() } else { address };
    let port = ask.text("Port to bind LXD to", Some("8443"), |answer| {
        if (1..=65535).contains(&parse_number(answer)?) { Ok(()) } else { Err("out of range".to_owned()) }
    })?;
    let password = ask.secret("Trust password for new clients")?;
    preseed.config.insert("core.https_address".to_owned(), Value::String(join(&address, &port)));
    preseed.config.insert("core.trust_password".to_owned(), Value::String(password));
    Ok(())
}

fn not_empty(answer: &str) -> Result<(), String> {
    if answer.is_empty() { Err(String::new()) } else { Ok(()) }
}

fn block_device(answer: &str) -> Result<(), String> {
    let is_device = std::fs::metadata(answer).is_ok_and(|found| found.file_type().is_block_device());
    if is_device { Ok(()) } else { Err(format!("{answer:?} is not a block device")) }
}

fn parse_number(answer: &str) -> Result<i64, String> {
    answer.parse().map_err(|_| format!("strconv.ParseInt: parsing {answer:?}: invalid syntax"))
}

fn subnet(family: &str, answer: &str) -> Result<(), String> {
    let fits = match (answer, family) {
        ("auto" | "none", _) => true,
        (_, "IPv4") => answer.parse::<Ipv4Cidr>().is_ok(),
        _ => answer.parse::<Ipv6Cidr>().is_ok(),
    };
    if fits { Ok(()) } else { Err(format!("invalid CIDR address: {answer}")) }
}

#[cfg(test)]
#[path = "questions_tests.rs"]
mod tests;
