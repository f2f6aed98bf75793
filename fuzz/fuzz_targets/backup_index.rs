//! `index.yaml` and `backup.yaml` of backups.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_image::parse_yaml;
use lxd_instance::backup_yaml::{BackupYaml, Index};

fuzz_target!(|yaml: &[u8]| {
    let _ = (parse_yaml::<Index>(yaml), parse_yaml::<BackupYaml>(yaml));
});
