//! Wire structs of `network acl` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `NetworkACL` used for displaying an ACL.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkAcl {
    /// ACL configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the ACL.
    pub description: String,
    /// List of egress rules (order independent).
    pub egress: Vec<NetworkAclRule>,
    /// List of ingress rules (order independent).
    pub ingress: Vec<NetworkAclRule>,
    /// The new name for the ACL.
    pub name: String,
    /// List of URLs of objects using this profile.
    pub used_by: Vec<String>,
}

/// `NetworkACLPost` used for renaming an ACL.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkAclPost {
    /// The new name for the ACL.
    pub name: String,
}

/// `NetworkACLPut` used for updating an ACL.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkAclPut {
    /// ACL configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the ACL.
    pub description: String,
    /// List of egress rules (order independent).
    pub egress: Vec<NetworkAclRule>,
    /// List of ingress rules (order independent).
    pub ingress: Vec<NetworkAclRule>,
}

/// `NetworkACLRule` represents a single rule in an ACL ruleset.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkAclRule {
    /// Action to perform on rule match.
    pub action: String,
    /// Description of the rule.
    pub description: String,
    /// Destination address.
    pub destination: String,
    /// Destination port.
    pub destination_port: String,
    /// ICMP message code (for ICMP protocol).
    pub icmp_code: String,
    /// Type of ICMP message (for ICMP protocol).
    pub icmp_type: String,
    /// Protocol.
    pub protocol: String,
    /// Source address.
    pub source: String,
    /// Source port.
    pub source_port: String,
    /// State of the rule.
    pub state: String,
}

/// `NetworkACLsPost` used for creating an ACL.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkAclsPost {
    /// ACL configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the ACL.
    pub description: String,
    /// List of egress rules (order independent).
    pub egress: Vec<NetworkAclRule>,
    /// List of ingress rules (order independent).
    pub ingress: Vec<NetworkAclRule>,
    /// The new name for the ACL.
    pub name: String,
}
