"""The reading half of a WebSocket (RFC 6455), as small as following a ComfyUI run needs it; standard library only."""

from __future__ import annotations

import base64
import os
import socket
import struct
from collections.abc import Iterator

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class WebSocket:
    """A connection to `ws://address/path`. Iterating yields `str` (text) and `bytes` (binary) messages until the server closes.

    Raises ConnectionError when the server refuses or goes away, TimeoutError when it is silent for `silence_seconds`.
    """

    def __init__(self, address: str, path: str, silence_seconds: float) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=silence_seconds)
        self._stream = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: {address}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        answer = self._stream.readline().decode("latin-1")
        while self._stream.readline().strip():
            pass
        if " 101 " not in answer:
            self.close()
            raise ConnectionError(f"no WebSocket at {address}{path}: {answer.strip() or 'no answer'}")

    def __iter__(self) -> Iterator[str | bytes]:
        kind, message = TEXT, b""
        while True:
            last, opcode, payload = self._frame()
            if opcode == CLOSE:
                return
            if opcode == PING:
                self._send(PONG, payload)
            if opcode >= CLOSE:
                continue
            kind, message = (opcode, payload) if opcode else (kind, message + payload)
            if last:
                yield message.decode() if kind == TEXT else message

    def close(self) -> None:
        """Drop the connection."""
        self._stream.close()
        self._socket.close()

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._read(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        return bool(first & 0x80), first & 0x0F, self._read(length)

    def _read(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise ConnectionError("the server closed the connection")
        return data

    def _send(self, opcode: int, payload: bytes) -> None:
        # What a client sends is masked; control frames are at most 125 bytes.
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
