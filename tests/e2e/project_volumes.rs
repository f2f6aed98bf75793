//! Every way to bring a custom volume into a project × the limit of its disk space.

use serde_json::{Value, json};

use crate::project_rules::{prepared, tried};
use crate::world::World;

#[test]
fn volumes_meet_the_disk_limit_on_every_way() {
    let daemon = prepared();
    let clean = World::of(&daemon);
    let list = "/1.0/storage-pools/default/volumes/custom";
    let before = daemon.get(&format!("{list}?project=r")).metadata();
    let sized = |name: &str, size: &str| json!({"name": name, "config": {"size": size}});
    let ways: [(&str, Value); 5] = [
        ("POST r", sized("x", "30MiB")),
        ("POST r", json!({"name": "x", "source": {"type": "copy", "name": "src", "project": "o"}})),
        ("POST r", json!({"name": "x", "source": {"type": "copy", "name": "src/s1", "project": "o"}})),
        ("POST o/src", json!({"name": "x", "project": "r"})),
        ("POST o/src", json!({"name": "x", "project": "r", "pool": "second"})),
    ];
    for (limit, fits) in [("20MiB", false), ("80MiB", true)] {
        for (way, body) in &ways {
            daemon.ok("POST", &format!("{list}?project=o"), &sized("src", "30MiB"));
            daemon.ok("POST", &format!("{list}/src/snapshots?project=o"), &json!({"name": "s1"}));
            daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": {"limits.disk": limit}}));
            let path = match *way {
                "POST r" => format!("{list}?project=r"),
                _ => format!("{list}/src?project=o"),
            };
            match tried(&daemon, "POST", &path, body) {
                Ok(()) => assert!(fits, "{body} with {limit}"),
                Err(error) => {
                    assert!(!fits && error.contains("Reached maximum aggregate value"), "{body}: {error}");
                    assert_eq!(daemon.get(&format!("{list}?project=r")).metadata(), before);
                    assert_eq!(daemon.get(&format!("{list}/src?project=o")).status, 200, "{body}");
                }
            }
            for at in ["default/volumes/custom/x?project=r", "second/volumes/custom/x?project=r"] {
                daemon.call("DELETE", &format!("/1.0/storage-pools/{at}"), &Value::Null);
            }
            daemon.call("DELETE", &format!("{list}/src?project=o"), &Value::Null);
            assert_eq!(clean.difference(&World::of(&daemon)), Vec::<String>::new(), "{body} with {limit}");
        }
    }
    daemon.ok("POST", &format!("{list}?project=r"), &sized("x", "30MiB"));
    daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": {"limits.disk": "40MiB"}}));
    for (method, body) in
        [("PATCH", json!({"config": {"size": "50MiB"}})), ("PUT", json!({"config": {"size": "50MiB"}}))]
    {
        let refused = tried(&daemon, method, &format!("{list}/x?project=r"), &body).unwrap_err();
        assert!(refused.contains("Reached maximum aggregate value"), "{refused}");
        let kept = daemon.get(&format!("{list}/x?project=r")).metadata();
        assert_eq!(kept["config"]["size"], "30MiB");
    }
    daemon.ok("DELETE", &format!("{list}/x?project=r"), &Value::Null);
}
