//! End-to-end tests: the real daemon and real containers, driven through its socket and its clients, looked at
//! from outside. One file per area; each test has a daemon and a network namespace of its own.

mod archive;
mod backups;
mod budget;
mod calls;
mod clients;
mod copies;
mod daemon;
mod debian;
mod devlxd;
mod faults;
mod foreign;
mod gone;
mod host;
mod image_servers;
mod images;
mod init;
mod instances;
mod keys;
mod kill;
mod lifecycle;
mod luck;
mod networks;
mod nics;
mod nodes;
mod projects;
mod proxies;
mod publish;
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
mod world;
mod wrong;

mod project_rules;
mod project_volumes;
mod relocations;
