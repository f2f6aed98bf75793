//! The commands, one file each; groups are directories.

mod action;
mod alias;
mod attach;
mod completion;
mod config;
mod console;
mod delete;
mod device;
mod entity;
mod exec;
mod file;
mod image;
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
mod network;
mod operation;
mod pause;
mod profile;
mod query;
mod remote;
mod rename;
mod restart;
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
        &exec::SPEC,
        &file::SPEC,
        &image::SPEC,
        &info::SPEC,
        &init::SPEC,
        &launch::SPEC,
        &list::SPEC,
        &manpage::SPEC,
        &monitor::SPEC,
        &network::SPEC,
        &operation::SPEC,
        &pause::SPEC,
        &profile::SPEC,
        &query::SPEC,
        &remote::SPEC,
        &rename::SPEC,
        &restart::SPEC,
        &start::SPEC,
        &stop::SPEC,
        &storage::SPEC,
        &version::SPEC,
        &warning::SPEC,
    ],
    ..Spec::NEW
};
