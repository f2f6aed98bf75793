//! Names of everything: what is accepted is harmless.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_types::names::{
    AliasName, DeviceName, InstanceName, NetworkName, ProjectName, SnapshotName, VolumeName,
};

fuzz_target!(|text: &str| {
    let files = [
        text.parse::<InstanceName>().is_ok(),
        text.parse::<SnapshotName>().is_ok(),
        text.parse::<ProjectName>().is_ok(),
        text.parse::<VolumeName>().is_ok(),
        text.parse::<NetworkName>().is_ok(),
    ];
    if files.contains(&true) {
        assert!(!text.contains(['/', '\n', '\0']) && text != "." && text != "..");
    }
    let _ = (text.parse::<AliasName>(), text.parse::<DeviceName>());
});
