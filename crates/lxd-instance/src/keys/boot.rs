//! Starting and stopping: `boot.*`, `cluster.*`, `migration.*`, `snapshots.*`.

use lxd_config::{Condition, Key, keys};
use lxd_types::{Expiry, Schedule};

keys! {
    /// `agent.*`, `boot.*` and `cluster.*`
    BOOT = [
        /// Whether the agent sets name and MTU of the interfaces as the devices say.
        AGENT_NIC_CONFIG: bool =
            Key::new("agent.nic_config").default("false").only(Condition::VirtualMachine).safe().not_yet(),
        /// Always start the instance when the server starts (if not set, restore the last state).
        BOOT_AUTOSTART: bool = Key::new("boot.autostart").passive().safe(),
        /// Number of seconds to wait after the instance started before starting the next one.
        BOOT_AUTOSTART_DELAY: i64 = Key::new("boot.autostart.delay").default("0").passive().safe(),
        /// What order to start the instances in (starting with highest).
        BOOT_AUTOSTART_PRIORITY: i64 = Key::new("boot.autostart.priority").default("0").passive().safe(),
        /// Seconds to wait for the instance to shut down before it is stopped by force.
        BOOT_HOST_SHUTDOWN_TIMEOUT: i64 =
            Key::new("boot.host_shutdown_timeout").default("30").live()
            .restricted_by("restricted.containers.lowlevel").since("container_host_shutdown_timeout"),
        /// What order to shut down the instances in (starting with highest).
        BOOT_STOP_PRIORITY: i64 =
            Key::new("boot.stop.priority").default("0").passive().safe().since("container_stop_priority"),
        /// What to do with the instance when its cluster member is evacuated.
        CLUSTER_EVACUATE: String = Key::new("cluster.evacuate")
            .default("auto").one_of(&["auto", "migrate", "live-migrate", "stop"]).passive().safe().not_yet()
            .since("clustering_evacuation"),
    ]
}

keys! {
    /// `migration.*`
    MIGRATION = [
        /// Incremental memory transfer of the instance's memory to reduce downtime.
        MIGRATION_INCREMENTAL_MEMORY: bool = Key::new("migration.incremental.memory")
            .default("false").live().only(Condition::Container).safe().not_yet().since("migration_pre_copy"),
        /// Percentage of memory to have in sync before stopping the instance.
        MIGRATION_INCREMENTAL_MEMORY_GOAL: u32 = Key::new("migration.incremental.memory.goal")
            .default("70").live().only(Condition::Container).safe().not_yet().since("migration_pre_copy"),
        /// Maximum number of transfer operations to go through before stopping the instance.
        MIGRATION_INCREMENTAL_MEMORY_ITERATIONS: u32 = Key::new("migration.incremental.memory.iterations")
            .default("10").live().only(Condition::Container).safe().not_yet().since("migration_pre_copy"),
        /// Allow for stateful stop, start and snapshots. Prevents the use of features that are incompatible with it.
        MIGRATION_STATEFUL: bool = Key::new("migration.stateful")
            .default("false").only(Condition::VirtualMachine).safe().not_yet().since("migration_stateful"),
    ]
}

keys! {
    /// `snapshots.*`
    SNAPSHOTS = [
        /// Cron expression (minute hour day-of-month month day-of-week), or a comma-separated list of the aliases
        /// @hourly, @daily, @midnight, @weekly, @monthly, @annually, @yearly, @startup and @never.
        SNAPSHOTS_SCHEDULE: Schedule =
            Key::new("snapshots.schedule").passive().safe().since("snapshot_scheduling"),
        /// Whether stopped instances are to be snapshotted automatically.
        SNAPSHOTS_SCHEDULE_STOPPED: bool = Key::new("snapshots.schedule.stopped")
            .default("false").passive().safe().since("snapshot_scheduling"),
        /// Template of the name of scheduled and unnamed snapshots; %d stands for the next free number.
        SNAPSHOTS_PATTERN: String =
            Key::new("snapshots.pattern").default("snap%d").passive().safe().since("snapshot_scheduling"),
        /// When snapshots are to be deleted (an expression like 1M 2H 3d 4w 5m 6y).
        SNAPSHOTS_EXPIRY: Expiry = Key::new("snapshots.expiry").passive().safe().since("snapshot_expiry"),
    ]
}
