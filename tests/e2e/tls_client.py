#!/usr/bin/env python3
"""Sends requests over one kept TLS connection: a client that shares no code with ours.

usage: tls_client.py HOST PORT [CERT KEY]
Each line of standard input is a request, {"method": …, "path": …, "headers": {…}, "body": …, "before": …}; each line of standard
output its answer, {"status": …, "body": …, "connections": how many were needed so far}. `before` is sent in hexadecimal
digits on a connection of its own before TLS begins (the PROXY protocol). Websockets stay open; the method WAIT answers
when the server has closed all of them, with their number as the status.
"""
import json
import socket
import ssl
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE
# The weakest certificates are sent as well: refusing them is for the server to do.
CONTEXT.set_ciphers("DEFAULT@SECLEVEL=0")
if len(sys.argv) > 3:
    CONTEXT.load_cert_chain(sys.argv[3], sys.argv[4])
STATE = {"stream": None, "opened": 0, "upgraded": []}


def connect(before):
    plain = socket.create_connection((HOST, PORT), timeout=30)
    if before:
        plain.sendall(bytes.fromhex(before))
    STATE["opened"] += 1
    return CONTEXT.wrap_socket(plain).makefile("rwb")


def exchange(stream, request):
    body = request.get("body")
    data = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"{request['method']} {request['path']} HTTP/1.1", f"Host: {HOST}:{PORT}", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (request.get("headers") or {}).items()]
    stream.write(("\r\n".join(lines) + "\r\n\r\n").encode() + data)
    stream.flush()
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        text = b""
        while size := int(stream.readline().split(b";")[0], 16):
            text += stream.read(size)
            stream.readline()
        stream.readline()
    elif status == 101 or request["method"] == "HEAD":
        text = b""
    else:
        text = stream.read(int(headers.get("content-length", 0)))
    return status, headers, text.decode("utf-8", "replace")


def wait():
    """Until the server has closed all websockets."""
    for stream in STATE["upgraded"]:
        try:
            while stream.read1(65536):
                pass
        except OSError:
            pass
    return {"status": len(STATE["upgraded"]), "body": "", "headers": {}, "connections": STATE["opened"]}


def answer(request):
    if request["method"] == "WAIT":
        return wait()
    before = request.get("before")
    for last in (False, True):
        fresh = STATE["stream"] is None or before
        stream = connect(before) if fresh else STATE["stream"]
        STATE["stream"] = stream
        try:
            status, headers, body = exchange(stream, request)
            break
        except (OSError, IndexError, ValueError):
            STATE["stream"] = None
            if fresh or last:
                return {"status": 0, "body": "", "headers": {}, "connections": STATE["opened"]}
    if status == 101:
        STATE["upgraded"].append(STATE["stream"])
    if status == 101 or headers.get("connection", "").lower() == "close":
        STATE["stream"] = None
    return {"status": status, "body": body, "headers": headers, "connections": STATE["opened"]}


for line in sys.stdin:
    try:
        found = answer(json.loads(line))
    except OSError as error:
        found = {"status": 0, "body": str(error), "headers": {}, "connections": STATE["opened"]}
    print(json.dumps(found), flush=True)
