#!/usr/bin/env python3
"""A stand-in for Candid (identity) and Canonical RBAC (roles), for the tests of both authentication methods.

It speaks the real protocols: macaroons v2 with third-party caveats (versions 2 and 3 of the bakery protocol), the
login methods `form` and `agent`, and the part of the RBAC service that a server of instances asks for. Nothing but
Python's standard library is used; NaCl's box is written out below.

usage: identity_server.py STATE.json LISTEN_IP PORT RBAC_PORT LOG [CERT KEY]

STATE.json is read again at each request:
    {"key": base64 private key, "users": {"bob": "password"}, "agents": {"name": base64 public key},
     "roles": {"bob": {"lxd": {"": ["admin"]}, "project": {"1": ["view", "operate-containers"]}}},
     "mute": true when nothing is told of changes}
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import struct
import sys
import threading
import time
import urllib.parse

STATE, IP, PORT, RBAC_PORT, LOG = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
SCHEME = "https" if len(sys.argv) > 6 else "http"
LOCK = threading.RLock()


def state():
    with open(STATE, encoding="utf-8") as file:
        return json.load(file)


def log(**words):
    with LOCK, open(LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(words) + "\n")


# ---- NaCl: X25519, XSalsa20, Poly1305 (RFC 7748, "Extending the Salsa20 nonce", RFC 8439)

P = 2**255 - 19


def x25519(scalar, point=b"\x09" + bytes(31)):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3 = 1, 0, x1, 1
    swap = 0
    for bit in reversed(range(255)):
        now = k >> bit & 1
        if swap ^ now:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = now
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % P, c * b % P, a * a % P, b * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def rounds(x):
    x = list(x)

    def quarter(a, b, c, d):
        for to, one, two, turn in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
            sum_ = x[one] + x[two] & 0xFFFFFFFF
            x[to] ^= (sum_ << turn | sum_ >> 32 - turn) & 0xFFFFFFFF

    for _ in range(10):
        for four in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)):
            quarter(*four)
        for four in ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)):
            quarter(*four)
    return x


def matrix(key, sixteen):
    k, n, c = struct.unpack("<8I", key), struct.unpack("<4I", sixteen), struct.unpack("<4I", b"expand 32-byte k")
    return [c[0], *k[:4], c[1], *n, c[2], *k[4:], c[3]]


def hsalsa20(key, sixteen):
    x = rounds(matrix(key, sixteen))
    return struct.pack("<8I", x[0], x[5], x[10], x[15], *x[6:10])


def stream(key, nonce, length):
    key = hsalsa20(key, nonce[:16])
    out = b""
    for block in range((length + 63) // 64):
        start = matrix(key, nonce[16:] + struct.pack("<Q", block))
        out += struct.pack("<16I", *(a + b & 0xFFFFFFFF for a, b in zip(rounds(start), start)))
    return out[:length]


def poly1305(key, text):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(text), 16):
        total = (total + int.from_bytes(text[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & (1 << 128) - 1).to_bytes(16, "little")


def seal(key, nonce, text):
    pad = stream(key, nonce, 32 + len(text))
    body = bytes(a ^ b for a, b in zip(pad[32:], text))
    return poly1305(pad[:32], body) + body


def unseal(key, nonce, sealed):
    pad = stream(key, nonce, 16 + len(sealed))
    if not hmac.compare_digest(poly1305(pad[:32], sealed[16:]), sealed[:16]):
        raise ValueError("the box does not open")
    return bytes(a ^ b for a, b in zip(pad[32:], sealed[16:]))


def shared(private, public):
    return hsalsa20(x25519(private, public), bytes(16))


# ---- macaroons


def keyed(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def derived(root):
    return keyed(b"macaroons-key-generator", root)


def add_caveat(m, cid, vid=b"", location=""):
    old = unbase(m["s64"])
    if vid:
        new = keyed(old, keyed(old, vid), keyed(old, cid))
    else:
        new = keyed(old, cid)
    caveat = {"i64": base(cid)} if vid else {"i": cid.decode()}
    if vid:
        caveat |= {"v64": base(vid), "l": location}
    m["c"].append(caveat)
    m["s64"] = base(new)


def new_macaroon(root, identifier, location):
    m = {"c": [], "l": location, "i64": base(identifier), "s64": base(keyed(derived(root), identifier))}
    return m


def base(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unbase(text):
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))


def field(holder, name):
    return unbase(holder[name + "64"]) if name + "64" in holder else holder.get(name, "").encode()


def varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 128:
            return number, at


def to_varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def open_caveat(private, cid):
    """Root key and condition that somebody encrypted for us."""
    version = cid[0]
    if version not in (2, 3):
        raise ValueError(f"caveat version {version}")
    public = x25519(private)
    if cid[1:5] != public[:4]:
        raise ValueError("the caveat is for another key")
    secret = unseal(shared(private, cid[5:37]), cid[37:61], cid[61:])
    length, at = varint(secret, 1)
    root, at = secret[at : at + length], at + length
    if version == 3:
        length, at = varint(secret, at)
        at += length
    return root, secret[at:].decode(), cid[5:37]


def close_caveat(private, public, root, condition):
    nonce = os.urandom(24)
    secret = b"\x03" + to_varint(len(root)) + root + to_varint(4) + b"std:" + condition.encode()
    return b"\x03" + public[:4] + x25519(private) + nonce + seal(shared(private, public), nonce, secret)


def third_party(m, private, public, location, condition):
    root = os.urandom(24)
    cid = close_caveat(private, public, root, condition)
    nonce = os.urandom(24)
    add_caveat(m, cid, nonce + seal(unbase(m["s64"]), nonce, derived(root)), location)


def bound(primary, discharge):
    return keyed(bytes(32), unbase(primary), unbase(discharge))


def verify(root, macaroons):
    """First-party conditions of macaroons (JSON v2) that belong together; the first is the primary."""
    primary, rest = macaroons[0], macaroons[1:]
    conditions = []

    def one(m, key, is_primary):
        sig = keyed(key, field(m, "i"))
        for caveat in m.get("c", []):
            cid, vid = field(caveat, "i"), field(caveat, "v")
            if vid:
                inner = unseal(sig, vid[:24], vid[24:])
                one(next(other for other in rest if field(other, "i") == cid), inner, False)
                sig = keyed(sig, keyed(sig, vid), keyed(sig, cid))
            else:
                conditions.append(cid.decode())
                sig = keyed(sig, cid)
        own = field(m, "s")
        expected = sig if is_primary else keyed(bytes(32), keyed(bytes(32), field(primary, "s")), keyed(bytes(32), sig))
        if not hmac.compare_digest(own, expected):
            raise ValueError("the signature is wrong")

    one(primary, derived(root), True)
    for condition in conditions:
        if condition.startswith("time-before "):
            stamp = condition.split(" ")[1][:19]
            if time.strptime(stamp, "%Y-%m-%dT%H:%M:%S") < time.gmtime():
                raise ValueError("it has expired")
    return conditions


def read_binary(data):
    """Macaroons in the binary format v2, one after the other, as the JSON format has them."""
    at, found = 0, []

    def section():
        nonlocal at
        fields = {}
        while data[at]:
            kind, at = varint(data, at)
            length, at = varint(data, at)
            fields[kind], at = data[at : at + length], at + length
        at += 1
        return fields

    while at < len(data):
        if data[at] != 2:
            raise ValueError("not the binary format v2")
        at += 1
        head, caveats = section(), []
        while data[at]:
            one = section()
            caveats.append({"i64": base(one[2]), "v64": base(one.get(4, b""))})
        at += 1
        signature = section_signature = {}
        kind, at = varint(data, at)
        length, at = varint(data, at)
        signature, at = data[at : at + length], at + length
        found.append({"i64": base(head[2]), "c": caveats, "s64": base(signature)})
    return found


def wrapped(m):
    return {"m": m, "v": 3, "ns": "std:"}


# ---- the services

ROOT = os.urandom(32)
WAITING = {}  # token -> user


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(time.time() + seconds))


class Base(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def read(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(iter(self.chunk, b""))
        else:
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        self.query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        form = urllib.parse.parse_qs(self.body.decode("latin-1"))
        # Clients send the parameters of a discharge in the address or in the body.
        self.form = self.query | {key: values[0] for key, values in form.items()}
        log(
            service=self.name,
            method=self.command,
            path=self.path,
            headers=dict(self.headers),
            body=self.body.decode("latin-1"),
        )
        return url.path

    def chunk(self):
        size = int(self.rfile.readline().split(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def do(self):
        path = self.read()
        try:
            self.serve(path)
        except (KeyError, ValueError, StopIteration, IndexError) as error:
            log(service=self.name, error=repr(error), path=self.path)
            self.answer(400, {"Code": "bad request", "Message": str(error)})

    do_GET = do_POST = do_PUT = do

    def cookies(self):
        """Slices of macaroons that the client brought."""
        for header in self.headers.get_all("Cookie") or []:
            for cookie in header.split(";"):
                name, _, value = cookie.strip().partition("=")
                if name.startswith("macaroon-"):
                    try:
                        yield json.loads(unbase(value))
                    except ValueError:
                        pass


class Candid(Base):
    name = "candid"

    def serve(self, path):
        known = state()
        private = base64.b64decode(known["key"])
        public = base64.b64encode(x25519(private)).decode()
        here = f"{SCHEME}://{IP}:{self.server.server_port}" + ("/auth" if self.path.startswith("/auth/") else "")
        if path == "/discharge/info":
            return self.answer(200, {"PublicKey": public, "Version": 3})
        if path == "/publickey":
            return self.answer(200, {"PublicKey": public})
        if path == "/discharge":
            return self.discharge(known, private, here)
        if path == "/form":
            return self.login(known)
        if path == "/login/agent":
            return self.agent(known, private)
        return self.answer(404, {"Code": "not found", "Message": "not found"})

    def user_of(self, known):
        """Who asks for a discharge, if it has a token."""
        value = self.form.get("token64")
        value = unbase(value) if value else self.form.get("token", "").encode("latin-1")
        kind = self.form.get("token-kind", "")
        if kind == "agent":
            conditions = verify(ROOT, read_binary(value))
            return next(text[5:] for text in conditions if text.startswith("user "))
        with LOCK:
            return WAITING.pop(value.decode("latin-1"), None)

    def discharge(self, known, private, here):
        identifier = unbase(self.form["id64"]) if "id64" in self.form else self.form["id"].encode("latin-1")
        sealed = unbase(self.form["caveat64"]) if "caveat64" in self.form else identifier
        root, condition, _ = open_caveat(private, sealed)
        log(service="candid", condition=condition, version=sealed[0])
        user = self.user_of(known)
        need, _, rest = condition.partition(" ")
        asked = rest.partition(" ")[2] if need == "need-declared" else condition
        if not asked.startswith("is-authenticated-user"):
            raise ValueError(f"unknown condition {condition}")
        domain = asked.partition("@")[2]
        if user is None:
            methods = {
                "agent": {"login-url": "/login/agent"},
                "form": {"url": here + "/form" + (f"?domain={domain}" if domain else "")},
            }
            info = {"InteractionMethods": methods, "VisitURL": here + "/form", "WaitURL": here + "/wait"}
            body = {"Code": "interaction required", "Message": "macaroon discharge required: authentication required", "Info": info}
            return self.answer(401, body, [("WWW-Authenticate", "Macaroon")])
        m = new_macaroon(root, identifier, "identity")
        add_caveat(m, f"declared username {user}".encode())
        add_caveat(m, f"time-before {stamp(known.get('expiry', 3600))}".encode())
        return self.answer(200, {"Macaroon": wrapped(m)})

    def login(self, known):
        domain = self.query.get("domain", "")
        if self.command == "GET":
            text = {"type": "string", "mandatory": True}
            schema = {
                "username": text | {"description": "username", "group": "", "immutable": False},
                "password": text | {"description": "password", "secret": True},
            }
            return self.answer(200, {"schema": schema})
        form = json.loads(self.body)["form"]
        user = form["username"]
        if known["users"].get(user) != form["password"]:
            return self.answer(401, {"Code": "unauthorized", "Message": "invalid username or password"})
        token = os.urandom(16).hex()
        with LOCK:
            WAITING[token] = f"{user}@{domain}" if domain else user
        value = base64.b64encode(token.encode()).decode()
        return self.answer(200, {"token": {"kind": "form", "value": value}})

    def agent(self, known, private):
        body = json.loads(self.body) if self.body.startswith(b"{") else {}
        user = self.query.get("username") or body.get("Username") or body.get("username")
        key = self.query.get("public-key") or body.get("PublicKey") or body.get("public_key")
        if known["agents"].get(user) != key:
            raise ValueError("unknown agent")
        m = new_macaroon(ROOT, os.urandom(16), "identity")
        add_caveat(m, f"user {user}".encode())
        add_caveat(m, f"time-before {stamp(300)}".encode())
        third_party(m, private, base64.b64decode(key), "local", "true")
        return self.answer(200, {"macaroon": wrapped(m)})


class Rbac(Candid):
    name = "rbac"

    def serve(self, path):
        known = state()
        if not path.startswith("/api/"):
            # It vouches for users as the identity server does, with the same key.
            return super().serve(path.removeprefix("/auth"))
        private = base64.b64decode(known["key"])
        for macaroons in self.cookies():
            try:
                conditions = verify(ROOT, macaroons)
                user = next(text.split(" ")[2] for text in conditions if text.startswith("declared username "))
                if user not in known["agents"]:
                    raise ValueError(f"{user} is no agent")
                return self.service(known, path)
            except (ValueError, StopIteration, KeyError) as error:
                log(service="rbac", refused=repr(error))
        m = new_macaroon(ROOT, os.urandom(16), "rbac")
        third_party(m, private, x25519(private), f"{SCHEME}://{IP}:{PORT}", "need-declared username is-authenticated-user")
        info = {"Macaroon": wrapped(m), "MacaroonPath": "/", "CookieNameSuffix": "auth"}
        body = {"Code": "macaroon discharge required", "Message": "macaroon discharge required: authentication required", "Info": info}
        return self.answer(401, body, [("WWW-Authenticate", "Macaroon")])

    def service(self, known, path):
        parts = path.strip("/").split("/")
        if path.startswith("/api/service/v1/changes"):
            return self.changes(known)
        if parts[-1] == "permissions-for-user":
            roles = known["roles"].get(self.query.get("u", ""), {}).get(parts[-2], {})
            return self.answer(200, roles)
        if self.command == "GET":
            return self.answer(200, [])
        return self.answer(200, {"sync-id": "1"})

    def changes(self, known):
        """Answers when the roles change, or after a while; not at all when the state says so."""
        if known.get("mute"):
            return self.answer(500, {"message": "no"})
        before = json.dumps(known["roles"])
        for _ in range(100):
            if json.dumps(state()["roles"]) != before:
                break
            time.sleep(0.1)
        return self.answer(200, {"last-change-id": str(time.time_ns())})


def serve(handler, port):
    server = http.server.ThreadingHTTPServer((IP, port), handler)
    server.daemon_threads = True
    if SCHEME == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[6], sys.argv[7])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def main():
    threading.Thread(target=serve, args=(Rbac, RBAC_PORT), daemon=True).start()
    serve(Candid, PORT)


if __name__ == "__main__":
    main()
