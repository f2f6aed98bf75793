"""Adds a version of an image to a simplestreams tree: make_simplestreams.py TREE IMAGE.tar.gz VERSION [ARCH]

The image is repacked as lxd.tar.xz and root.tar.xz, and offered under the alias "tiny"; a disk of a virtual machine is
offered beside it. Where xdelta3 is installed, what changed since the version before is offered as well.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

tree, image, version = sys.argv[1:4]
arch = sys.argv[4] if len(sys.argv) > 4 else "amd64"
folder = f"images/{version}-{arch}"
os.makedirs(f"{tree}/{folder}", exist_ok=True)
os.makedirs(f"{tree}/streams/v1", exist_ok=True)


def put(name, content):
    with open(f"{tree}/{folder}/{name}", "wb") as file:
        file.write(content)
    return {"path": f"{folder}/{name}", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def repack(wanted):
    packed = io.BytesIO()
    with tarfile.open(image) as source, tarfile.open(fileobj=packed, mode="w:xz") as target:
        for member in source:
            member.name = member.name.removeprefix("./")
            name = wanted(member.name)
            if name:
                member.name = name
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
        note = tarfile.TarInfo("etc/version" if wanted("rootfs/x") else "note")
        note.size = len(version)
        target.addfile(note, io.BytesIO(version.encode()))
    return packed.getvalue()


meta = repack(lambda name: name if name == "metadata.yaml" or name.startswith("templates") else None)
root = repack(lambda name: name.removeprefix("rootfs/") if name.startswith("rootfs/") else None)
disk = b"QFI\xfb" + bytes(60)
items = {
    "lxd.tar.xz": dict(put("lxd.tar.xz", meta), ftype="lxd.tar.xz"),
    "root.tar.xz": dict(put("root.tar.xz", root), ftype="root.tar.xz"),
    "disk.qcow2": dict(put("disk.qcow2", disk), ftype="disk-kvm.img"),
}
items["lxd.tar.xz"]["combined_rootxz_sha256"] = hashlib.sha256(meta + root).hexdigest()
items["lxd.tar.xz"]["combined_disk-kvm-img_sha256"] = hashlib.sha256(meta + disk).hexdigest()

path = f"{tree}/streams/v1/images.json"
products = {"format": "products:1.0", "datatype": "image-downloads", "content_id": "images", "products": {}}
if os.path.exists(path):
    with open(path) as file:
        products = json.load(file)
product = products["products"].setdefault(
    f"tiny:1:{arch}:default",
    {"aliases": "tiny/1,tiny", "arch": arch, "os": "Tiny", "release": "1", "variant": "default", "versions": {}},
)
if product["versions"] and shutil.which("xdelta3"):
    base = max(product["versions"])
    for name in ("root.tar.xz", "disk.qcow2"):
        older = f"{tree}/{product['versions'][base]['items'][name]['path']}"
        made = subprocess.run(["xdelta3", "-e", "-c", "-s", older, f"{tree}/{folder}/{name}"], check=True, stdout=-1)
        delta = dict(put(f"{name}.{base}.vcdiff", made.stdout), ftype=f"{items[name]['ftype']}.vcdiff", delta_base=base)
        items[f"{name}.{base}.vcdiff"] = delta
product["versions"][version] = {"items": items}
with open(path, "w") as file:
    json.dump(products, file)
entry = {"datatype": "image-downloads", "path": "streams/v1/images.json", "products": list(products["products"])}
with open(f"{tree}/streams/v1/index.json", "w") as file:
    json.dump({"format": "index:1.0", "index": {"images": entry}}, file)
