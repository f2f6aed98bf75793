//! The DNS and DHCP service of a bridge is made as it shall be, ended, and started again when it ends by itself.

use std::time::Duration;

use lxd_sys::Dir;
use lxd_types::error::Context;
use lxd_types::names::NetworkName;
use lxd_types::{Error, Result};

use super::dnsmasq::{self, Account};
use super::hosts::StaticHost;
use super::service::{self, Running, Wanted, blocking};
use super::spec::BridgeSpec;
use super::{Bridges, State, remove_host};

impl Bridges {
    pub(super) fn account(&self) -> Result<Account> {
        service::account(self.shared.group.as_deref())
    }

    /// Makes the service be as it shall be: left alone, told to reload, restarted or ended.
    pub(super) async fn serve(
        &self,
        state: &mut State,
        spec: &BridgeSpec,
        hosts: &[StaticHost],
    ) -> Result<()> {
        let directory = self.directory(&spec.name);
        let account = self.account()?;
        let args = dnsmasq::arguments(spec, &directory, &account);
        let wanted = Wanted { directory, args, raw: spec.raw_dnsmasq.clone() };
        let hosts = self.fixed(spec, hosts.to_vec()).await?;
        let lines = hosts.iter().filter_map(|host| Some((host.file_name(), host.line(spec)?)));
        let lines = if spec.has_service() { lines.collect() } else { Vec::new() };
        let changed = service::write_files(wanted.clone(), lines, account.gid).await?;
        if state.service.is_none() {
            state.service = Running::find(wanted.directory.clone()).await;
        }
        if !spec.has_service() {
            return self.end_service(state, &spec.name).await;
        }
        match &state.service {
            Some(running) if running.is_as(&wanted) => {
                if changed {
                    running.reload();
                }
            }
            _ => {
                self.end_service(state, &spec.name).await?;
                let started = Running::start(self.shared.runner.as_ref(), &wanted).await;
                state.service = Some(match started {
                    Err(error) if error.chain().contains("Address already in use") => {
                        return Err(port_taken(spec, error).await);
                    }
                    started => started?,
                });
            }
        }
        if state.watcher.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
            state.watcher =
                state.service.clone().map(|service| self.watch(spec.name.clone(), service, wanted));
        }
        Ok(())
    }

    pub(super) async fn end_service(&self, state: &mut State, name: &NetworkName) -> Result<()> {
        state.forget_watcher();
        let directory = self.directory(name);
        let service = match state.service.take() {
            None => Running::find(directory.clone()).await,
            some => some,
        };
        if let Some(service) = service {
            service.stop().await?;
        }
        let removed = blocking(move || match Dir::open(directory) {
            Ok(dir) => remove_host(&dir, dnsmasq::PID).map(drop),
            Err(_) => Ok(()),
        });
        removed.await.context("Failed to remove the pid file of dnsmasq")
    }

    /// Starts the service again whenever it ends by itself, sooner or later.
    fn watch(&self, name: NetworkName, mut service: Running, wanted: Wanted) -> tokio::task::JoinHandle<()> {
        let bridges = self.clone();
        tokio::spawn(async move {
            let mut pause = Duration::from_millis(100);
            loop {
                service.ended().await;
                tracing::warn!(network = %name, "The DNS and DHCP service ended, starting it again");
                let state = bridges.state(&name);
                loop {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(60));
                    let mut state = state.lock().await;
                    match Running::start(bridges.shared.runner.as_ref(), &wanted).await {
                        Ok(running) => {
                            service = running.clone();
                            state.service = Some(running);
                            break;
                        }
                        Err(error) => {
                            tracing::error!(network = %name, error = error.chain(), "It did not start")
                        }
                    }
                }
            }
        })
    }
}

/// Names the process that holds a port which the service needs.
async fn port_taken(spec: &BridgeSpec, error: Error) -> Error {
    let addresses = dnsmasq::gateways(spec);
    let found = blocking(move || {
        let ports = addresses.iter().flat_map(|address| [(*address, 53), (*address, 67)]);
        ports.filter_map(|(address, port)| Some((address, port, lxd_host::holder(address, port)?))).next()
    });
    match found.await {
        None => error,
        Some((address, port, holder)) => error.context(format!(
            "Port {port} of {address} is taken by process {:?} (pid {}): end it or let it listen on the addresses that it \
             needs only",
            holder.name, holder.pid
        )),
    }
}
