//! The commands, one file each; groups are directories.

mod action;
mod alias;
mod attach;
mod completion;
mod config;
mod console;
mod copy;
mod delete;
mod device;
mod entity;
mod exec;
mod export;
mod file;
mod image;
mod import;
mod info;
mod info_resources;
mod init;
mod launch;
mod list;
mod list_columns;
mod list_filter;
mod manpage;
mod monitor;
mod monitor_pretty;
mod move_;
mod network;
mod operation;
mod pause;
mod profile;
mod project;
mod publish;
mod query;
mod remote;
mod rename;
mod restart;
mod restore;
mod snapshot;
mod start;
mod stop;
mod storage;
mod version;
mod warning;

use crate::cli::{Spec, switch};

/// `lxc` itself.
pub static ROOT: Spec = Spec {
    name: "lxc",
    about: "Command line client for LXD",
    long: "Everything LXD can do is reached through the commands below; each explains itself with --help.",
    flags: &[switch("all", "List the less common commands too")],
    subs: &[
        &alias::SPEC,
        &completion::SPEC,
        &config::SPEC,
        &delete::SPEC,
        &console::SPEC,
        &copy::SPEC,
        &exec::SPEC,
        &export::SPEC,
        &file::SPEC,
        &image::SPEC,
        &import::SPEC,
        &info::SPEC,
        &init::SPEC,
        &launch::SPEC,
        &list::SPEC,
        &manpage::SPEC,
        &monitor::SPEC,
        &move_::SPEC,
        &network::SPEC,
        &operation::SPEC,
        &pause::SPEC,
        &profile::SPEC,
        &project::SPEC,
        &publish::SPEC,
        &query::SPEC,
        &remote::SPEC,
        &rename::SPEC,
        &restart::SPEC,
        &restore::SPEC,
        &snapshot::SPEC,
        &start::SPEC,
        &stop::SPEC,
        &storage::SPEC,
        &version::SPEC,
        &warning::SPEC,
    ],
    ..Spec::NEW
};
