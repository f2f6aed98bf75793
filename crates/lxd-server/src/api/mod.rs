//! One module per entity, named like the URL. Each has `routes()`, the rows of the route table, and its
//! handlers.

mod backups;
pub mod certificates;
pub mod cluster;
pub mod events;
pub mod images;
pub mod instances;
pub mod internal;
pub mod network_acls;
pub mod networks;
pub mod operations;
pub mod profiles;
pub mod projects;
pub mod resources;
pub mod root;
pub mod server;
pub mod storage_pools;
pub mod warnings;
