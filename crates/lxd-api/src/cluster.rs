//! Wire structs of `cluster` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};

/// `Cluster` represents high-level information about a LXD cluster.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Cluster {
    /// Whether clustering is enabled.
    pub enabled: bool,
    /// List of member configuration keys (used during join).
    pub member_config: Vec<ClusterMemberConfigKey>,
    /// Name of the cluster member answering the request.
    pub server_name: String,
}

/// `ClusterCertificatePut` represents the certificate and key pair for all members in a LXD
/// Cluster.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterCertificatePut {
    /// The new certificate (X509 PEM encoded) for the cluster.
    pub cluster_certificate: String,
    /// The new certificate key (X509 PEM encoded) for the cluster.
    pub cluster_certificate_key: String,
}

/// `ClusterMember` represents the a LXD node in the cluster.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterMember {
    /// The primary architecture of the cluster member.
    pub architecture: String,
    /// Whether the cluster member is a database server.
    pub database: bool,
    /// Cluster member description.
    pub description: String,
    /// Name of the failure domain for this cluster member.
    pub failure_domain: String,
    /// Additional status information.
    pub message: String,
    /// List of roles held by this cluster member.
    pub roles: Vec<String>,
    /// Name of the cluster member.
    pub server_name: String,
    /// Current status.
    pub status: String,
    /// URL at which the cluster member can be reached.
    pub url: String,
}

/// `ClusterMemberConfigKey` represents a single config key that a new member of the cluster is
/// required to provide when joining.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterMemberConfigKey {
    /// A human friendly description key.
    pub description: String,
    /// The kind of configuration key (network, storage-pool, ...).
    pub entity: String,
    /// The name of the key.
    pub key: String,
    /// The name of the object requiring this key.
    pub name: String,
    /// The value on the answering cluster member.
    pub value: String,
}

/// `ClusterMemberJoinToken` represents the fields contained within an encoded cluster member join
/// token.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterMemberJoinToken {
    /// The addresses of existing online cluster members.
    pub addresses: Vec<String>,
    /// The fingerprint of the network certificate.
    pub fingerprint: String,
    /// The random join secret.
    pub secret: String,
    /// The name of the new cluster member.
    pub server_name: String,
}

/// `ClusterMemberPost` represents the fields required to rename a LXD node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterMemberPost {
    /// The new name of the cluster member.
    pub server_name: String,
}

/// `ClusterMemberPut` represents the the modifiable fields of a LXD cluster member.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterMemberPut {
    /// Cluster member description.
    pub description: String,
    /// Name of the failure domain for this cluster member.
    pub failure_domain: String,
    /// List of roles held by this cluster member.
    pub roles: Vec<String>,
}

/// `ClusterMemberStatePost` represents the fields required to evacuate a cluster member.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterMemberStatePost {
    /// The action to be performed. Valid actions are "evacuate" and "restore".
    pub action: String,
}

/// `ClusterMembersPost` represents the fields required to request a join token to add a member to
/// the cluster.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterMembersPost {
    /// The name of the new cluster member.
    pub server_name: String,
}

/// `ClusterPut` represents the fields required to bootstrap or join a LXD cluster.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ClusterPut {
    /// The address of the cluster you wish to join.
    pub cluster_address: String,
    /// The expected certificate (X509 PEM encoded) for the cluster.
    pub cluster_certificate: String,
    /// The trust password of the cluster you're trying to join.
    pub cluster_password: String,
    /// Whether clustering is enabled.
    pub enabled: bool,
    /// List of member configuration keys (used during join).
    pub member_config: Vec<ClusterMemberConfigKey>,
    /// The local address to use for cluster communication.
    pub server_address: String,
    /// Name of the cluster member answering the request.
    pub server_name: String,
}
