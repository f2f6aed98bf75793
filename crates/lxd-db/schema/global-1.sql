-- Schema 1 of the global database. Released text: never edit it, add a migration.
-- Tables and columns are those that `lxd sql` users know; every table has a primary key, so that changesets
-- of the session extension record all rows.

CREATE TABLE schema (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  version INTEGER NOT NULL UNIQUE,
  updated_at DATETIME NOT NULL
);

-- Members ------------------------------------------------------------------------------------------------

CREATE TABLE nodes_failure_domains (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL UNIQUE
);
CREATE TABLE nodes (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL,
  address TEXT NOT NULL UNIQUE,
  schema INTEGER NOT NULL,
  api_extensions INTEGER NOT NULL,
  heartbeat DATETIME DEFAULT CURRENT_TIMESTAMP,
  state INTEGER NOT NULL DEFAULT 0,
  arch INTEGER NOT NULL DEFAULT 0 CHECK (arch > 0),
  failure_domain_id INTEGER DEFAULT NULL REFERENCES nodes_failure_domains (id) ON DELETE SET NULL
);
CREATE TABLE nodes_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (node_id, key)
);
CREATE TABLE nodes_roles (
  node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
  role INTEGER NOT NULL,
  PRIMARY KEY (node_id, role)
);
CREATE TABLE cluster_groups (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL
);
CREATE TABLE nodes_cluster_groups (
  node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
  group_id INTEGER NOT NULL REFERENCES cluster_groups (id) ON DELETE CASCADE,
  PRIMARY KEY (node_id, group_id)
);

-- Server configuration, projects, trust --------------------------------------------------------------------

CREATE TABLE config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  key TEXT NOT NULL UNIQUE,
  value TEXT
);
CREATE TABLE projects (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL
);
CREATE TABLE projects_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (project_id, key)
);
CREATE TABLE certificates (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  fingerprint TEXT NOT NULL UNIQUE,
  type INTEGER NOT NULL,
  name TEXT NOT NULL,
  certificate TEXT NOT NULL,
  restricted INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE certificates_projects (
  certificate_id INTEGER NOT NULL REFERENCES certificates (id) ON DELETE CASCADE,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  PRIMARY KEY (certificate_id, project_id)
);
CREATE INDEX certificates_projects_project ON certificates_projects (project_id);
CREATE TABLE operations (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  uuid TEXT NOT NULL UNIQUE,
  node_id TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
  type INTEGER NOT NULL DEFAULT 0,
  project_id INTEGER REFERENCES projects (id) ON DELETE CASCADE
);
CREATE TABLE warnings (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  node_id INTEGER REFERENCES nodes (id) ON DELETE CASCADE,
  project_id INTEGER REFERENCES projects (id) ON DELETE CASCADE,
  entity_type_code INTEGER,
  entity_id INTEGER,
  uuid TEXT NOT NULL UNIQUE,
  type_code INTEGER NOT NULL,
  status INTEGER NOT NULL,
  first_seen_date DATETIME NOT NULL,
  last_seen_date DATETIME NOT NULL,
  updated_date DATETIME,
  last_message TEXT NOT NULL,
  count INTEGER NOT NULL
);
CREATE UNIQUE INDEX warnings_one_each ON warnings
  (IFNULL(node_id, -1), IFNULL(project_id, -1), IFNULL(entity_type_code, -1), IFNULL(entity_id, -1), type_code);

-- Profiles -------------------------------------------------------------------------------------------------

CREATE TABLE profiles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  UNIQUE (project_id, name)
);
CREATE TABLE profiles_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  profile_id INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (profile_id, key)
);
CREATE TABLE profiles_devices (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  profile_id INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  type INTEGER NOT NULL DEFAULT 0,
  UNIQUE (profile_id, name)
);
CREATE TABLE profiles_devices_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  profile_device_id INTEGER NOT NULL REFERENCES profiles_devices (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (profile_device_id, key)
);

-- Instances ------------------------------------------------------------------------------------------------

CREATE TABLE instances (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  architecture INTEGER NOT NULL,
  type INTEGER NOT NULL,
  ephemeral INTEGER NOT NULL DEFAULT 0,
  creation_date DATETIME NOT NULL DEFAULT 0,
  stateful INTEGER NOT NULL DEFAULT 0,
  last_use_date DATETIME,
  description TEXT NOT NULL,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  expiry_date DATETIME,
  UNIQUE (project_id, name)
);
CREATE INDEX instances_node ON instances (node_id);
CREATE TABLE instances_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_id INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (instance_id, key)
);
CREATE TABLE instances_devices (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_id INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  type INTEGER NOT NULL DEFAULT 0,
  UNIQUE (instance_id, name)
);
CREATE TABLE instances_devices_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_device_id INTEGER NOT NULL REFERENCES instances_devices (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (instance_device_id, key)
);
CREATE TABLE instances_profiles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_id INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
  profile_id INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
  apply_order INTEGER NOT NULL DEFAULT 0,
  UNIQUE (instance_id, profile_id)
);
CREATE INDEX instances_profiles_profile ON instances_profiles (profile_id);
CREATE TABLE instances_backups (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_id INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
  name VARCHAR(255) NOT NULL,
  creation_date DATETIME,
  expiry_date DATETIME,
  container_only INTEGER NOT NULL DEFAULT 0,
  optimized_storage INTEGER NOT NULL DEFAULT 0,
  UNIQUE (instance_id, name)
);
CREATE TABLE instances_snapshots (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_id INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  creation_date DATETIME NOT NULL DEFAULT 0,
  stateful INTEGER NOT NULL DEFAULT 0,
  description TEXT NOT NULL,
  expiry_date DATETIME,
  UNIQUE (instance_id, name)
);
CREATE TABLE instances_snapshots_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_snapshot_id INTEGER NOT NULL REFERENCES instances_snapshots (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (instance_snapshot_id, key)
);
CREATE TABLE instances_snapshots_devices (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_snapshot_id INTEGER NOT NULL REFERENCES instances_snapshots (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  type INTEGER NOT NULL DEFAULT 0,
  UNIQUE (instance_snapshot_id, name)
);
CREATE TABLE instances_snapshots_devices_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  instance_snapshot_device_id INTEGER NOT NULL REFERENCES instances_snapshots_devices (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (instance_snapshot_device_id, key)
);
-- Our own: instances whose backup.yaml has to be written again.
CREATE TABLE instances_stale (
  instance_id INTEGER PRIMARY KEY NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
  generation INTEGER NOT NULL DEFAULT 1
);

-- Images ---------------------------------------------------------------------------------------------------

CREATE TABLE images (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  fingerprint TEXT NOT NULL,
  filename TEXT NOT NULL,
  size INTEGER NOT NULL,
  public INTEGER NOT NULL DEFAULT 0,
  architecture INTEGER NOT NULL,
  creation_date DATETIME,
  expiry_date DATETIME,
  upload_date DATETIME NOT NULL,
  cached INTEGER NOT NULL DEFAULT 0,
  last_use_date DATETIME,
  auto_update INTEGER NOT NULL DEFAULT 0,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  type INTEGER NOT NULL DEFAULT 0,
  UNIQUE (project_id, fingerprint)
);
CREATE INDEX images_fingerprint ON images (fingerprint);
CREATE TABLE images_aliases (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL,
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  description TEXT NOT NULL,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  UNIQUE (project_id, name)
);
CREATE INDEX images_aliases_image ON images_aliases (image_id);
CREATE TABLE images_nodes (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
  UNIQUE (image_id, node_id)
);
CREATE INDEX images_nodes_node ON images_nodes (node_id);
CREATE TABLE images_profiles (
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  profile_id INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
  PRIMARY KEY (image_id, profile_id)
);
CREATE INDEX images_profiles_profile ON images_profiles (profile_id);
CREATE TABLE images_properties (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  type INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT
);
CREATE INDEX images_properties_image ON images_properties (image_id);
CREATE TABLE images_source (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  server TEXT NOT NULL,
  protocol INTEGER NOT NULL,
  certificate TEXT NOT NULL,
  alias TEXT NOT NULL
);
CREATE INDEX images_source_image ON images_source (image_id);

-- Networks -------------------------------------------------------------------------------------------------

CREATE TABLE networks (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  type INTEGER NOT NULL DEFAULT 0,
  UNIQUE (project_id, name)
);
CREATE TABLE networks_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_id INTEGER NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
  node_id INTEGER REFERENCES nodes (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT
);
CREATE UNIQUE INDEX networks_config_one_each ON networks_config (network_id, IFNULL(node_id, -1), key);
CREATE INDEX networks_config_node ON networks_config (node_id);
CREATE TABLE networks_nodes (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_id INTEGER NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
  node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
  state INTEGER NOT NULL DEFAULT 0,
  UNIQUE (network_id, node_id)
);
CREATE TABLE networks_acls (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  ingress TEXT NOT NULL,
  egress TEXT NOT NULL,
  UNIQUE (project_id, name)
);
CREATE TABLE networks_acls_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_acl_id INTEGER NOT NULL REFERENCES networks_acls (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (network_acl_id, key)
);
CREATE TABLE networks_forwards (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_id INTEGER NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
  node_id INTEGER REFERENCES nodes (id) ON DELETE CASCADE,
  listen_address TEXT NOT NULL,
  description TEXT NOT NULL,
  ports TEXT NOT NULL
);
CREATE UNIQUE INDEX networks_forwards_one_each ON networks_forwards
  (network_id, IFNULL(node_id, -1), listen_address);
CREATE TABLE networks_forwards_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_forward_id INTEGER NOT NULL REFERENCES networks_forwards (id) ON DELETE CASCADE,
  key VARCHAR(255) NOT NULL,
  value TEXT,
  UNIQUE (network_forward_id, key)
);
CREATE TABLE networks_peers (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_id INTEGER NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  target_network_project TEXT NULL,
  target_network_name TEXT NULL,
  target_network_id INTEGER NULL,
  UNIQUE (network_id, name),
  UNIQUE (network_id, target_network_project, target_network_name),
  UNIQUE (network_id, target_network_id)
);
CREATE TABLE networks_peers_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_peer_id INTEGER NOT NULL REFERENCES networks_peers (id) ON DELETE CASCADE,
  key VARCHAR(255) NOT NULL,
  value TEXT,
  UNIQUE (network_peer_id, key)
);
CREATE TABLE networks_zones (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL
);
CREATE TABLE networks_zones_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_zone_id INTEGER NOT NULL REFERENCES networks_zones (id) ON DELETE CASCADE,
  key VARCHAR(255) NOT NULL,
  value TEXT,
  UNIQUE (network_zone_id, key)
);
CREATE TABLE networks_zones_records (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_zone_id INTEGER NOT NULL REFERENCES networks_zones (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  entries TEXT NOT NULL,
  UNIQUE (network_zone_id, name)
);
CREATE TABLE networks_zones_records_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  network_zone_record_id INTEGER NOT NULL REFERENCES networks_zones_records (id) ON DELETE CASCADE,
  key VARCHAR(255) NOT NULL,
  value TEXT,
  UNIQUE (network_zone_record_id, key)
);

-- Storage --------------------------------------------------------------------------------------------------

CREATE TABLE storage_pools (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  driver TEXT NOT NULL,
  description TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE storage_pools_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  storage_pool_id INTEGER NOT NULL REFERENCES storage_pools (id) ON DELETE CASCADE,
  node_id INTEGER REFERENCES nodes (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT
);
CREATE UNIQUE INDEX storage_pools_config_one_each ON storage_pools_config
  (storage_pool_id, IFNULL(node_id, -1), key);
CREATE INDEX storage_pools_config_node ON storage_pools_config (node_id);
CREATE TABLE storage_pools_nodes (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  storage_pool_id INTEGER NOT NULL REFERENCES storage_pools (id) ON DELETE CASCADE,
  node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
  state INTEGER NOT NULL DEFAULT 0,
  UNIQUE (storage_pool_id, node_id)
);
CREATE TABLE storage_volumes (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL,
  storage_pool_id INTEGER NOT NULL REFERENCES storage_pools (id) ON DELETE CASCADE,
  node_id INTEGER REFERENCES nodes (id) ON DELETE CASCADE,
  type INTEGER NOT NULL,
  description TEXT NOT NULL,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  content_type INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX storage_volumes_one_each ON storage_volumes
  (storage_pool_id, project_id, name, type, IFNULL(node_id, -1));
CREATE INDEX storage_volumes_name ON storage_volumes (name);
CREATE INDEX storage_volumes_project ON storage_volumes (project_id);
CREATE INDEX storage_volumes_node ON storage_volumes (node_id);
CREATE TABLE storage_volumes_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  storage_volume_id INTEGER NOT NULL REFERENCES storage_volumes (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (storage_volume_id, key)
);
CREATE TABLE storage_volumes_backups (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  storage_volume_id INTEGER NOT NULL REFERENCES storage_volumes (id) ON DELETE CASCADE,
  name VARCHAR(255) NOT NULL,
  creation_date DATETIME,
  expiry_date DATETIME,
  volume_only INTEGER NOT NULL DEFAULT 0,
  optimized_storage INTEGER NOT NULL DEFAULT 0,
  UNIQUE (storage_volume_id, name)
);
-- Volumes and their snapshots share one row of ids; storage_volumes.rs gives them out.
CREATE TABLE storage_volumes_snapshots (
  id INTEGER PRIMARY KEY NOT NULL,
  storage_volume_id INTEGER NOT NULL REFERENCES storage_volumes (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  expiry_date DATETIME,
  UNIQUE (storage_volume_id, name)
);
CREATE TABLE storage_volumes_snapshots_config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  storage_volume_snapshot_id INTEGER NOT NULL REFERENCES storage_volumes_snapshots (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT,
  UNIQUE (storage_volume_snapshot_id, key)
);
CREATE VIEW storage_volumes_all
  (id, name, storage_pool_id, node_id, type, description, project_id, content_type) AS
SELECT id, name, storage_pool_id, node_id, type, description, project_id, content_type FROM storage_volumes
UNION ALL
SELECT s.id, v.name || '/' || s.name, v.storage_pool_id, v.node_id, v.type, s.description, v.project_id,
  v.content_type
FROM storage_volumes_snapshots AS s JOIN storage_volumes AS v ON v.id = s.storage_volume_id;
CREATE TRIGGER storage_volumes_id BEFORE INSERT ON storage_volumes
WHEN EXISTS (SELECT 1 FROM storage_volumes_snapshots WHERE id = NEW.id)
BEGIN SELECT RAISE(FAIL, 'the id belongs to a volume snapshot'); END;
CREATE TRIGGER storage_volumes_snapshots_id BEFORE INSERT ON storage_volumes_snapshots
WHEN EXISTS (SELECT 1 FROM storage_volumes WHERE id = NEW.id)
BEGIN SELECT RAISE(FAIL, 'the id belongs to a volume'); END;

-- What every server begins with ------------------------------------------------------------------------------

INSERT INTO projects (id, name, description) VALUES (1, 'default', 'Default LXD project');
INSERT INTO projects_config (project_id, key, value) VALUES
  (1, 'features.images', 'true'), (1, 'features.profiles', 'true'),
  (1, 'features.storage.volumes', 'true'), (1, 'features.networks', 'true');
INSERT INTO profiles (id, name, description, project_id) VALUES (1, 'default', 'Default LXD profile', 1);
INSERT INTO cluster_groups (id, name, description) VALUES (1, 'default', 'Default cluster group');
