"""Sends frames from one network namespace and tells which of them arrive on interfaces of others.

Arguments: FILE:INTERFACE of the sender, then of each receiver (FILE is that of a network namespace). Standard input: a
frame per line, in hexadecimal. Each frame ends with the bytes "LXDM" and its number. Standard output: for each receiver a line
with the numbers that arrived."""

import ctypes
import os
import select
import socket
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3


def packet_socket(place):
    path, interface = place.rsplit(":", 1)
    fd = os.open(path, os.O_RDONLY)
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), path)
    os.close(fd)
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind((interface, ETH_P_ALL))
    return made


def main():
    sender, receivers = packet_socket(sys.argv[1]), [packet_socket(place) for place in sys.argv[2:]]
    for line in sys.stdin:
        sender.send(bytes.fromhex(line.strip()))
    arrived = [set() for _ in receivers]
    # What was sent was judged before `send` came back; a soft interrupt may still have to hand it on.
    while ready := select.select(receivers, [], [], 0.1)[0]:
        for receiver in ready:
            frame, address = receiver.recvfrom(2048)
            if address[2] != socket.PACKET_OUTGOING and frame[-8:-4] == b"LXDM":
                arrived[receivers.index(receiver)].add(int.from_bytes(frame[-4:], "big"))
    for numbers in arrived:
        print(" ".join(map(str, sorted(numbers))))


main()
