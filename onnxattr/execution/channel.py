"""Messages between a parent and its worker: plain bytes, typed, bounded, never a pickle.

A frame is its length, eight bytes big-endian, and a msgpack document. The worker may be in a
stranger's hands, so what it says is decoded into the expected types or not at all.
"""

import struct
from collections.abc import Iterable
from typing import Any, BinaryIO

import msgspec

from onnxattr.errors import WorkerError

_LENGTH = struct.Struct(">Q")

#: What is read or written at a time, so that a false length allocates nothing.
_PIECE = 1 << 20

#: Bytes of a message without arrays.
MAX_MESSAGE = 1 << 22


class ChannelClosedError(Exception):
    """The other side is gone."""


class Channel:
    """One end of the connection between a parent and a worker.

    Args:
        reader: Where the other side's messages come from.
        writer: Where ours go.
    """

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader, self._writer = reader, writer

    def send(self, message: msgspec.Struct) -> None:
        """Sends one message.

        Raises:
            ChannelClosedError: The other side is gone.
        """
        data = msgspec.msgpack.encode(message)
        try:
            self._writer.write(_LENGTH.pack(len(data)))
            self._writer.write(data)
            self._writer.flush()
        except (OSError, ValueError):
            raise ChannelClosedError from None

    def receive(self, kinds: Any, limit: int = MAX_MESSAGE) -> Any:
        """Returns the next message.

        Args:
            kinds: The types that are expected: a tagged struct, or a union of them.
            limit: The largest size in bytes.

        Raises:
            ChannelClosedError: The other side is gone.
            WorkerError: What came is too long, or none of the expected messages.
        """
        (length,) = _LENGTH.unpack(b"".join(self._read(_LENGTH.size)))
        if length > limit:
            raise WorkerError(f"its worker sent {length} bytes where {limit} are the most")
        data = b"".join(self._read(length))
        try:
            return msgspec.msgpack.decode(data, type=kinds)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise WorkerError("its worker sent what is no message") from None

    def close(self) -> None:
        """Closes both directions; what is not sent yet is lost."""
        for stream in (self._reader, self._writer):
            try:
                stream.close()
            except (OSError, ValueError):
                continue  # What was still to be flushed has nobody to read it.

    def _read(self, length: int) -> Iterable[bytes]:
        while length:
            try:
                piece = self._reader.read(min(length, _PIECE))
            except (OSError, ValueError):
                raise ChannelClosedError from None
            if not piece:
                raise ChannelClosedError
            length -= len(piece)
            yield piece
