//! Wire structs of `network acl` objects (`rest-api.yaml`), in the order in which clients show them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `NetworkACL` used for displaying an ACL.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkAcl {
    /// The new name for the ACL.
    pub name: String,
    /// Description of the ACL.
    pub description: String,
    /// List of egress rules (order independent).
    pub egress: Vec<NetworkAclRule>,
    /// List of ingress rules (order independent).
    pub ingress: Vec<NetworkAclRule>,
    /// ACL configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
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
    /// Description of the ACL.
    pub description: String,
    /// List of egress rules (order independent).
    pub egress: Vec<NetworkAclRule>,
    /// List of ingress rules (order independent).
    pub ingress: Vec<NetworkAclRule>,
    /// ACL configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
}

/// `NetworkACLRule` represents a single rule in an ACL ruleset. What is not given is not shown.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkAclRule {
    /// Action to perform on rule match.
    pub action: String,
    /// Source address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Destination address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination: String,
    /// Protocol.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Source port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_port: String,
    /// Destination port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination_port: String,
    /// Type of ICMP message (for ICMP protocol).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub icmp_type: String,
    /// ICMP message code (for ICMP protocol).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub icmp_code: String,
    /// Description of the rule.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// State of the rule.
    pub state: String,
}

/// `NetworkACLsPost` used for creating an ACL.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkAclsPost {
    /// The new name for the ACL.
    pub name: String,
    /// Description of the ACL.
    pub description: String,
    /// List of egress rules (order independent).
    pub egress: Vec<NetworkAclRule>,
    /// List of ingress rules (order independent).
    pub ingress: Vec<NetworkAclRule>,
    /// ACL configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
}
