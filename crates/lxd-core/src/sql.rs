//! `lxd sql`: an administrator's look into the databases.

use lxd_db::sql::{Database, Outcome};
use lxd_types::{Error, Result};

use crate::Core;

/// The statement that asks for the global database to be written to its file.
const SYNC: &str = ".sync";

fn database(name: &str) -> Result<Database> {
    match name {
        "local" => Ok(Database::Local),
        "global" => Ok(Database::Global),
        _ => Err(Error::bad_request("Invalid database")),
    }
}

impl Core {
    /// A database as SQL text; `schema` leaves the rows out.
    ///
    /// # Errors
    /// There is no such database, or it cannot be read.
    pub async fn sql_text(&self, name: &str, schema: bool) -> Result<String> {
        self.db.dump(database(name)?, !schema).await
    }

    /// Runs statements on a database; none are answered for `.sync`.
    ///
    /// # Errors
    /// There is no such database, nothing to do, or a statement fails.
    pub async fn sql(&self, name: &str, query: &str) -> Result<Option<Vec<Outcome>>> {
        let database = database(name)?;
        if query.trim().is_empty() {
            return Err(Error::bad_request("No query provided"));
        }
        if query.trim() == SYNC {
            self.db.sync_global().await?;
            return Ok(None);
        }
        self.db.sql(database, query.to_owned()).await.map(Some)
    }
}
