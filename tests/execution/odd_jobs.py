"""What the workers of these tests serve: jobs that behave as a hostile file may make them."""

import os
import pickle
import signal
import sys
import time

import msgspec


class Do(msgspec.Struct, tag=True):
    what: str
    amount: int = 0


class Done(msgspec.Struct, tag=True):
    value: str


class Planted:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def serve(channel):
    while True:
        do = channel.receive(Do)
        channel.send(Done(str(globals()[do.what](channel, do.amount))))


def pid(channel, amount):
    return os.getpid()


def sleep(channel, amount):
    time.sleep(amount)


def spin(channel, amount):
    while True:
        pass


def allocate(channel, amount):
    kept = []
    while True:
        kept.append(bytes(bytearray(b"x") * (1 << 24)))
        time.sleep(0.005)


def crash(channel, amount):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(channel, amount):
    os._exit(amount)


def swell(channel, amount):
    """Announces more than anybody waits for."""
    channel._writer.write((1 << 62).to_bytes(8, "big"))
    channel._writer.flush()
    time.sleep(60)


def babble(channel, amount):
    data = os.urandom(64)
    channel._writer.write(len(data).to_bytes(8, "big") + data)
    channel._writer.flush()
    time.sleep(60)


def plant(channel, amount):
    data = pickle.dumps(Planted(os.path.join(os.getcwd(), "planted")))
    channel._writer.write(len(data).to_bytes(8, "big") + data)
    channel._writer.flush()
    time.sleep(60)


def talk(channel, amount):
    """Writes where a worker must not be heard."""
    for stream in (sys.stdout, sys.stderr):
        stream.write("\x1b[31mheard")
        stream.flush()
    os.write(1, b"\x1b[31mraw stdout")
    os.write(2, b"\x1b[31mraw stderr")
    return "spoken"


def bounds(channel, amount):
    import resource

    from onnxattr.execution.worker import confine

    confine(1 << 30, accelerator=False)
    try:
        with open("written", "w") as file:
            file.write("x")
        wrote = True
    except OSError:
        wrote = False
    try:
        mapped = len(bytearray(1 << 36)) > 0
    except MemoryError:
        mapped = False
    return wrote, mapped, resource.getrlimit(resource.RLIMIT_CORE)
