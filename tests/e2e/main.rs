//! End-to-end tests: the real daemon and real containers, driven through its socket and its clients, looked at
//! from outside. One file per area; each test has a daemon and a network namespace of its own.

mod acls;
mod archive;
mod backups;
mod budget;
mod calls;
mod clashes;
mod clients;
mod copies;
mod daemon;
mod debian;
mod devlxd;
mod far_servers;
mod faults;
mod filters;
mod firewall;
mod foreign;
mod forwards;
mod gone;
mod host;
mod image_copies;
mod image_liars;
mod image_servers;
mod images;
mod init;
mod instances;
mod keys;
mod kill;
mod lifecycle;
mod limits;
mod luck;
mod networks;
mod nics;
mod nodes;
mod ovs;
mod projects;
mod proxies;
mod publish;
mod remotes;
mod rest;
mod script;
mod server;
mod snapshots;
mod speed;
mod state;
mod storage;
mod terminal;
mod trust;
mod trust_loss;
mod tunnels;
mod uplinks;
mod web;
mod world;
mod wrong;
mod xtables;

mod project_rows;
mod project_rules;
mod project_volumes;
mod relocations;

// Who is let in, and what strangers hear.
mod certificates;
mod identity;
mod strangers;
mod tls;
