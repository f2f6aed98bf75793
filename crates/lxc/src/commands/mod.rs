//! The commands, one file each; groups are directories.

mod action;
mod config;
mod console;
mod delete;
mod device;
mod entity;
mod exec;
mod image;
mod info;
mod info_resources;
mod init;
mod launch;
mod list;
mod list_columns;
mod list_filter;
mod pause;
mod profile;
mod query;
mod rename;
mod restart;
mod start;
mod stop;
mod version;

use crate::cli::{Spec, switch};

/// `lxc` itself.
pub static ROOT: Spec = Spec {
    name: "lxc",
    about: "Command line client for LXD",
    long: "Everything LXD can do is reached through the commands below; each explains itself with --help.",
    flags: &[switch("all", "List the less common commands too")],
    subs: &[
        &config::SPEC,
        &delete::SPEC,
        &console::SPEC,
        &exec::SPEC,
        &image::SPEC,
        &info::SPEC,
        &init::SPEC,
        &launch::SPEC,
        &list::SPEC,
        &pause::SPEC,
        &profile::SPEC,
        &query::SPEC,
        &rename::SPEC,
        &restart::SPEC,
        &start::SPEC,
        &stop::SPEC,
        &version::SPEC,
    ],
    ..Spec::NEW
};
