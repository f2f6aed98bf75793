"""Drives a daemon with pylxd: create, start, exec, files, profiles, images, delete. Fails by an exception."""
import os
import sys

import pylxd

image = open(sys.argv[1], "rb").read()
socket = os.environ["LXD_DIR"].replace("/", "%2F") + "%2Funix.socket"
client = pylxd.Client(endpoint="http+unix://" + socket)
assert client.host_info["environment"]["server_version"] == "4.18"

source = {"type": "image", "alias": "busybox"}
instance = client.instances.create({"name": "py1", "source": source, "profiles": ["default"]}, wait=True)
instance.start(wait=True)
assert instance.status == "Running", instance.status
assert instance.state().pid > 0
result = instance.execute(["sh", "-c", "echo out; echo err >&2; exit 3"])
assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n"), result
instance.files.put("/root/note", b"data")
assert instance.files.get("/root/note") == b"data"

profile = client.profiles.create("p1", config={"user.a": "b"})
assert client.profiles.get("p1").config == {"user.a": "b"}
instance.config["user.x"] = "1"
instance.save(wait=True)
assert client.instances.get("py1").config["user.x"] == "1"

instance.stop(wait=True, force=True)
instance.delete(wait=True)
profile.delete()
assert client.instances.all() == []

for old in client.images.all():
    old.delete(wait=True)
made = client.images.create(image, wait=True)
assert [found.fingerprint for found in client.images.all()] == [made.fingerprint]
made.delete(wait=True)
print("pylxd is content")
