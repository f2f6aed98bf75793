//! Images made of instances.

use std::process::Command;

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::world::World;

#[test]
fn an_image_of_an_instance_makes_the_same_again() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    let root = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs");
    std::fs::create_dir_all(root.join("data")).unwrap();
    std::fs::write(root.join("data/file"), "content").unwrap();
    std::fs::hard_link(root.join("data/file"), root.join("data/link")).unwrap();
    std::os::unix::fs::symlink("file", root.join("data/symlink")).unwrap();
    std::os::unix::fs::chown(root.join("data/file"), Some(1234), Some(4321)).unwrap();
    let set = Command::new("setcap").args(["cap_net_raw=ep"]).arg(root.join("data/file")).status();
    let with_capability = set.is_ok_and(|status| status.success());
    let before = World::of(&daemon);
    for compression in ["gzip", "none", "zstd", "xz -1", "bzip2"] {
        let body = json!({"source": {"type": "instance", "name": "c1"}, "compression_algorithm": compression,
            "properties": {"os": "Test", "description": compression}, "public": true, "aliases": [{"name": "made"}]});
        let operation = daemon.ok("POST", "/1.0/images", &body);
        let fingerprint = operation["metadata"]["fingerprint"].as_str().unwrap().to_owned();
        let image = daemon.get(&format!("/1.0/images/{fingerprint}")).metadata();
        assert_eq!((&image["properties"]["os"], &image["public"]), (&json!("Test"), &json!(true)));
        daemon.ok(
            "POST",
            "/1.0/instances",
            &json!({"name": "c2", "source": {"type": "image", "alias": "made"}}),
        );
        let copy = daemon.lxd_dir().join("storage-pools/default/containers/c2/rootfs");
        let list = |root: &std::path::Path| {
            let listed = Command::new("find")
                .arg(".")
                .args(["-printf", "%P %y %m %U %G %n %s %l %T@\n"])
                .current_dir(root)
                .output()
                .unwrap();
            let text = String::from_utf8(listed.stdout).unwrap();
            let mut lines: Vec<String> = text.lines().map(without_size_of_directories).collect();
            lines.sort();
            lines
        };
        assert_eq!(list(&root), list(&copy), "{compression}");
        if with_capability {
            let get = Command::new("getcap").arg(copy.join("data/file")).output().unwrap();
            assert!(String::from_utf8_lossy(&get.stdout).contains("cap_net_raw"));
        }
        if compression == "gzip" {
            daemon.state("c2", "start", "");
            wait_for("the image's init", 20, || {
                daemon.lxc(&["exec", "c2", "--", "test", "-e", "/run/booted"]).status.success().then_some(())
            });
            let refused = json!({"source": {"type": "instance", "name": "c2"}});
            assert!(daemon.fails("POST", "/1.0/images", &refused).contains("running"));
            daemon.state("c2", "stop", "force");
        }
        daemon.ok("DELETE", "/1.0/instances/c2", &Value::Null);
        daemon.ok("DELETE", &format!("/1.0/images/{fingerprint}"), &Value::Null);
    }
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
    let unknown = json!({"source": {"type": "instance", "name": "c1"}, "compression_algorithm": "nosuch"});
    assert_eq!(daemon.fails("POST", "/1.0/images", &unknown), "Invalid compression algorithm \"nosuch\"");
    let missing = json!({"source": {"type": "instance", "name": "nosuch"}});
    assert_eq!(daemon.fails("POST", "/1.0/images", &missing), "Instance not found");
}

/// The size of a directory, and its time where the daemon works in it, are the file system's business.
fn without_size_of_directories(line: &str) -> String {
    let fields: Vec<&str> = line.split(' ').collect();
    if fields.get(1) == Some(&"d") || fields.first() == Some(&"") {
        return fields[..fields.len().min(5)].join(" ");
    }
    line.to_owned()
}

#[test]
fn our_client_publishes() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    let told = daemon.lxc_ok(&["publish", "c1", "--alias", "one", "description=First"]);
    assert!(told.starts_with("Instance published with fingerprint: "), "{told}");
    daemon.lxc_ok(&["snapshot", "c1", "s1"]);
    daemon.lxc_ok(&["publish", "c1/s1", "--alias", "two", "--compression", "none", "--public"]);
    daemon.lxc_ok(&["launch", "two", "c2"]);
    assert!(!daemon.lxc(&["publish", "c2"]).status.success());
    daemon.lxc_ok(&["publish", "c2", "--force", "--alias", "three"]);
    assert_eq!(daemon.status("c2"), "Running");
    let listed = daemon.lxc_ok(&["image", "list", "-f", "csv", "-c", "ld"]);
    assert!(listed.contains("one,First") && listed.contains("two,") && listed.contains("three,"), "{listed}");
}
