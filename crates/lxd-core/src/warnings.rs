//! Warnings: what an administrator should know (manual, extension `warnings`). Persistent; raised again means
//! counted; resolved when the cause is gone.

use chrono::Utc;
use lxd_api::Timestamp;
use lxd_api::warning::Warning as Wire;
use lxd_auth::Permit;
use lxd_db::warnings::{self, Subject, Warning};
use lxd_types::{Error, Result};
use uuid::Uuid;

use crate::{Core, Lifecycle};

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// Something is missing that few need.
    Low,
    /// Something does not work.
    Moderate,
    /// Data or service is at risk.
    High,
}

impl Severity {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
        }
    }
}

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $severity:ident, $text:literal;)*) => {
        /// What a warning is about. Numbers are stored and never change.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum WarningType {
            $($(#[$doc])* $name = $code,)*
        }

        impl WarningType {
            /// The type of a stored number.
            pub fn from_code(code: i64) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The text that users read.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

types! {
    /// The kernel has no `blkio.weight`.
    MissingBlkioWeight = 2, Low, "Couldn't find the CGroup blkio.weight";
    /// The kernel has no network priority controller.
    MissingNetworkPriority = 10, Low, "Couldn't find the CGroup network priority controller";
    /// AppArmor does not work here.
    AppArmorDisabled = 14, Low, "AppArmor support has been disabled";
    /// Instances of this type cannot run.
    InstanceTypeNotOperational = 23, Low, "Instance type not operational";
    /// The kernel has no huge page controller.
    MissingHugetlb = 1010, Low, "Couldn't find the CGroup hugetlb controller";
    /// A configuration key is stored and does nothing.
    NoEffect = 1000, Low, "Configuration has no effect in this version";
    /// A storage pool is not usable.
    PoolUnavailable = 1001, High, "Storage pool unavailable";
    /// A storage pool has hardly any space left.
    PoolFull = 1030, Moderate, "Storage pool is nearly full";
    /// A network could not be started.
    NetworkUnavailable = 1002, High, "Network unavailable";
    /// An instance could not be looked at or started.
    InstanceUnavailable = 1003, High, "Instance unavailable";
    /// Data was found that the database does not know.
    UnknownData = 1004, Moderate, "Data without a record found, see \"lxd recover\"";
    /// An undo step keeps failing.
    CleanupFailed = 1005, Moderate, "Cleaning up after an interrupted operation failed";
    /// An instance did not start by itself.
    AutostartFailed = 1006, Moderate, "Failed to start an instance automatically";
    /// A snapshot that a schedule asks for could not be made.
    ScheduleFailed = 1008, Moderate, "Failed to create a scheduled snapshot";
    /// Somebody gave a wrong trust password or token.
    AuthenticationFailed = 1009, Moderate, "Failed authentication";
    /// Rules of another program keep packets of a network from passing.
    FirewallClash = 1020, Moderate, "Other firewall rules block a network";
    /// The network listener could not be opened.
    ListenerUnavailable = 1007, High, "Failed to listen on the network";
}

/// URL of a warning.
pub fn url(uuid: &str) -> String {
    format!("/1.0/warnings/{uuid}")
}

fn status_name(status: i64) -> &'static str {
    match status {
        warnings::ACKNOWLEDGED => "acknowledged",
        warnings::RESOLVED => "resolved",
        _ => "new",
    }
}

fn wire(warning: Warning) -> Wire {
    let kind = WarningType::from_code(warning.subject.type_code);
    Wire {
        status: status_name(warning.status).to_owned(),
        uuid: warning.uuid,
        location: "none".to_owned(),
        project: warning.project,
        kind: kind.map(WarningType::text).unwrap_or_default().to_owned(),
        count: warning.count,
        first_seen_at: Timestamp::from(warning.first_seen),
        last_seen_at: Timestamp::from(warning.last_seen),
        last_message: warning.last_message,
        severity: kind.map_or("", |kind| kind.severity().as_str()).to_owned(),
        entity_url: String::new(),
    }
}

impl Core {
    /// All warnings, or those of a project, sorted by their names.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn warnings(&self, project: Option<&str>) -> Result<Vec<Wire>> {
        let all = self.db.read(warnings::list).await?;
        let mut shown: Vec<Wire> = all
            .into_iter()
            .map(wire)
            .filter(|warning| project.is_none_or(|project| warning.project == project))
            .collect();
        shown.sort_by(|a, b| a.uuid.cmp(&b.uuid));
        Ok(shown)
    }

    /// One warning.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn warning(&self, uuid: &str) -> Result<Wire> {
        let uuid = uuid.to_owned();
        self.db.read(move |tx| warnings::get(tx, &uuid)).await.map(wire)
    }

    /// Marks a warning as seen, or as new again.
    ///
    /// # Errors
    /// Another status was asked for, or there is no such warning.
    pub async fn set_warning(&self, permit: &Permit, uuid: &str, status: &str) -> Result<()> {
        let (code, action) = match status {
            "new" => (warnings::NEW, "warning-reset"),
            "acknowledged" => (warnings::ACKNOWLEDGED, "warning-acknowledged"),
            "resolved" => {
                return Err(Error::forbidden("Status may only be set to \"acknowledge\" or \"new\""));
            }
            other => return Err(Error::bad_request(format!("Invalid warning type {other:?}"))),
        };
        let name = uuid.to_owned();
        self.db.write(move |tx| warnings::set_status(tx, &name, code, Utc::now())).await?;
        self.tell(permit.caller(), Lifecycle::new(action, url(uuid)));
        Ok(())
    }

    /// Removes a warning.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn delete_warning(&self, permit: &Permit, uuid: &str) -> Result<()> {
        let name = uuid.to_owned();
        self.db.write(move |tx| warnings::delete(tx, &name)).await?;
        self.tell(permit.caller(), Lifecycle::new("warning-deleted", url(uuid)));
        Ok(())
    }

    /// Raises a warning about the whole server. A failure to store it is only logged: warnings never make
    /// the work fail that they are about.
    pub async fn warn(&self, kind: WarningType, message: &str) {
        self.warn_about(Subject { type_code: kind as i64, node_id: Some(1), ..Subject::default() }, message)
            .await;
    }

    /// As [`warn`](Self::warn), about a thing: its project, and its number and kind in the database.
    pub async fn warn_about(&self, subject: Subject, message: &str) {
        let kind = WarningType::from_code(subject.type_code).map(WarningType::text).unwrap_or_default();
        tracing::warn!(message, kind, "Warning raised");
        let (message, uuid) = (message.to_owned(), Uuid::new_v4().to_string());
        let raised =
            self.db.write(move |tx| warnings::raise(tx, &subject, &message, &uuid, Utc::now())).await;
        if let Err(error) = raised {
            tracing::error!(error = error.chain(), "Failed to store a warning");
        }
    }

    /// Marks the warning about a thing as resolved; nothing is written when there is none.
    pub async fn warning_resolved(&self, subject: Subject) {
        if let Err(error) = self.db.write(move |tx| warnings::resolve(tx, &subject, Utc::now())).await {
            tracing::error!(error = error.chain(), "Failed to resolve a warning");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_to_their_types() {
        for kind in [WarningType::AppArmorDisabled, WarningType::PoolUnavailable] {
            assert_eq!(WarningType::from_code(kind as i64), Some(kind));
        }
        assert_eq!(WarningType::from_code(-1), None);
    }
}
