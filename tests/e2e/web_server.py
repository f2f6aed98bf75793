"""A web server that may misbehave, and a proxy: web_server.py PORT TREE RULES LOG [CERTIFICATE KEY]

RULES is a JSON file, read anew at each request: {"/path": {"redirect": URL} | {"status": N} | {"hang": true} |
{"stall": BYTES} | {"drip": true} | {"wait": true} | {"endless": true} | {"cut": BYTES, "times": N} | {"body": TEXT} , "headers": {...}}. Without a rule the file below TREE is
sent, with ETag and Range. Every request is a line in LOG.
"""

import hashlib
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit

port, tree, rules, log = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
cuts = {}
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self):
        known = [h for h in ("range", "if-none-match", "proxy-authorization", "authorization") if self.headers.get(h)]
        with lock, open(log, "a") as file:
            file.write(" ".join([self.command, self.path] + [f"{h}={self.headers[h]}" for h in known]) + "\n")

    def do_CONNECT(self):
        self.note()
        host, _, at = self.path.rpartition(":")
        try:
            other = socket.create_connection((host.strip("[]"), int(at)), 10)
        except OSError:
            self.send_error(502)
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
            except OSError:
                pass
            for end in (a, b):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        thread = threading.Thread(target=pump, args=(other, self.connection), daemon=True)
        thread.start()
        pump(self.connection, other)
        thread.join()
        self.close_connection = True

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.note()
        path = urlsplit(self.path).path
        with open(rules) as file:
            rule = json.load(file).get(path, {})
        if "hang" in rule:
            time.sleep(600)
        while "wait" in rule:
            time.sleep(0.1)
            with open(rules) as file:
                rule = json.load(file).get(path, {})
        if "redirect" in rule:
            return self.head(302, 0, {"Location": rule["redirect"]})
        if "status" in rule:
            return self.head(rule["status"], 0, {})
        if "body" in rule:
            content = rule["body"].encode()
        else:
            try:
                with open(os.path.join(tree, path.lstrip("/")), "rb") as file:
                    content = file.read()
            except OSError:
                return self.head(404, 0, {})
        self.content(path, content, rule)

    def content(self, path, content, rule):
        tag = '"' + hashlib.sha256(content).hexdigest()[:16] + '"'
        headers = {"ETag": tag, **rule.get("headers", {})}
        if self.headers.get("if-none-match") == tag:
            return self.head(304, 0, headers)
        start = 0
        ranged = self.headers.get("range", "")
        if ranged.startswith("bytes=") and self.headers.get("if-range", tag) == tag and not rule.get("no-range"):
            start = int(ranged[6:].split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if "endless" in rule:
            return self.endless(headers)
        self.head(206 if start else 200, len(content) - start, headers)
        if "drip" in rule:
            # Never silent, and never at an end.
            for byte in content:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.5)
        if self.command == "HEAD":
            return
        most = len(content)
        if "stall" in rule:
            most = rule["stall"]
        if "cut" in rule:
            with lock:
                cuts[path] = cuts.get(path, 0) + 1
                if cuts[path] <= rule.get("times", 1):
                    most = start + rule["cut"]
        self.wfile.write(content[start:most])
        self.wfile.flush()
        if "stall" in rule:
            time.sleep(600)
        if most < len(content):
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def endless(self, headers):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            while self.command != "HEAD":
                self.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
        except OSError:
            pass
        self.close_connection = True

    def head(self, status, length, headers):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler)
server.daemon_threads = True
if len(sys.argv) > 5:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[5], sys.argv[6])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
