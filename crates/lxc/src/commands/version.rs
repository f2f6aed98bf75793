//! `lxc version`

use anyhow::Result;
use lxd_api::server::Server;

use crate::cli::{Matches, Spec};
use crate::cx::Cx;

/// The command.
pub static SPEC: Spec = Spec {
    name: "version",
    args: "[<remote>:]",
    about: "Print client and server versions",
    count: (0, 1),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    // Whatever keeps us from asking the server is no error here.
    let server = match cx.target(matches.arg(0)) {
        Ok(target) => target.client.get::<Server>("/1.0").await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    let version =
        server.map_or_else(|_| "unreachable".to_owned(), |server| server.environment.server_version);
    println!("Client version: {}", lxd_api::API_LEVEL);
    println!("Server version: {version}");
    Ok(())
}
