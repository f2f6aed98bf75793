//! `lxd init`: first configuration by questions, by flags, or by a document.

mod apply;
pub mod ask;
mod auto;
mod dump;
mod facts;
mod preseed;
mod questions;

use std::io::Read;

use clap::Args;
use lxd_client::Client;
use lxd_types::error::Context;
use lxd_types::{Error, Result};

use ask::Ask;
use facts::Facts;
use preseed::Preseed;

use super::print;

/// Flags of `lxd init`.
#[derive(Args, Clone, Debug, Default)]
pub struct Init {
    /// Automatic (non-interactive) mode
    #[arg(long)]
    auto: bool,
    /// Dump YAML config to stdout
    #[arg(long)]
    dump: bool,
    /// Minimal configuration (non-interactive)
    #[arg(long)]
    minimal: bool,
    /// Address to bind LXD to (default: none)
    #[arg(long, default_value = "", hide_default_value = true)]
    network_address: String,
    /// Port to bind LXD to (default: 8443)
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    network_port: i64,
    /// Pre-seed mode, expects YAML config from stdin
    #[arg(long)]
    preseed: bool,
    /// Storage backend to use (btrfs, dir, lvm or zfs, default: dir)
    #[arg(long, default_value = "", hide_default_value = true)]
    storage_backend: String,
    /// Setup device based storage using DEVICE
    #[arg(long, default_value = "", hide_default_value = true)]
    storage_create_device: String,
    /// Setup loop based storage with SIZE in GB
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    storage_create_loop: i64,
    /// Storage pool to use or create
    #[arg(long, default_value = "", hide_default_value = true)]
    storage_pool: String,
    /// Password required to add new clients
    #[arg(long, default_value = "", hide_default_value = true)]
    trust_password: String,
    /// Ignored
    #[arg(hide = true)]
    ignored: Vec<String>,
}

impl Init {
    /// Refuses flags that contradict each other.
    fn check(&self) -> Result<()> {
        let refuse = |text: &str| Err(Error::bad_request(text));
        if self.auto && self.preseed {
            return refuse("Can't use --auto and --preseed together");
        }
        if self.minimal && self.preseed {
            return refuse("Can't use --minimal and --preseed together");
        }
        if self.minimal && self.auto {
            return refuse("Can't use --minimal and --auto together");
        }
        if !self.auto && self.has_settings() {
            return refuse("Configuration flags require --auto");
        }
        if self.dump && (self.auto || self.minimal || self.preseed || self.has_settings()) {
            return refuse("Can't use --dump with other flags");
        }
        Ok(())
    }

    fn has_settings(&self) -> bool {
        let texts = [
            &self.network_address,
            &self.storage_backend,
            &self.storage_create_device,
            &self.storage_pool,
            &self.trust_password,
        ];
        texts.iter().any(|text| !text.is_empty()) || self.network_port != -1 || self.storage_create_loop != -1
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong flags or input, no daemon, or the daemon refuses something; what was done before is undone then.
pub async fn run(flags: Init) -> Result<()> {
    flags.check()?;
    let client = Client::local();
    let server = client
        .get("/1.0")
        .await
        .map_err(|error| Error::from(error).context("Failed to connect to local LXD"))?;
    if flags.dump {
        return print(&format!("{}\n", dump::read(&client, server).await?.text(false)?));
    }
    let preseed = if flags.preseed {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("Failed to read from stdin")?;
        Preseed::parse(&text)?
    } else {
        let facts = Facts::collect(&client, &server).await?;
        if flags.auto || flags.minimal {
            auto::plan(&flags, &facts)?
        } else {
            let (preseed, show) = questions::ask(&mut Ask::terminal(), &facts)?;
            if show {
                print(&format!("{}\n", preseed.text(true)?))?;
            }
            preseed
        }
    };
    apply::apply(&client, &preseed).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_flags() {
        let auto = Init { auto: true, network_port: -1, storage_create_loop: -1, ..Init::default() };
        assert!(auto.check().is_ok());
        for (flags, wanted) in [
            (Init { preseed: true, ..auto.clone() }, "Can't use --auto and --preseed together"),
            (Init { minimal: true, ..auto.clone() }, "Can't use --minimal and --auto together"),
            (Init { dump: true, ..auto.clone() }, "Can't use --dump with other flags"),
            (
                Init { auto: false, network_address: "::1".into(), ..auto.clone() },
                "Configuration flags require --auto",
            ),
        ] {
            assert_eq!(flags.check().unwrap_err().chain(), wanted);
        }
    }
}
