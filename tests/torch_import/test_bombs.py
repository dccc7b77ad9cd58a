"""Small files that would fill the memory if they were believed."""

import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from support.torch_files import archive, persistent_storage, state_dict, stream, tensor, text

LIMITED = """
import resource, sys
from evc_jax.errors import CheckpointError
from evc_jax.torch_import.original_states import read_state
from evc_jax.torch_import.torch_reader import read_torch_file
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 384 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for path in sys.argv[1:]:
    try:
        read_state(read_torch_file(path))
    except CheckpointError as error:
        assert "MemoryError" not in str(error)
        print(error)
    else:
        sys.exit(path + " was read")
"""


def bombs():
    """Programs, small or of a few megabytes, that grow without bounds when they are believed."""
    module = b"cglow\nWaveGlow\n)\x81}(" + text("_modules")
    nest = text("_modules") + b"}(" + text("a") + b"h\x00" + text("b") + b"h\x00u"
    pairs = b"]q\x01(" + b"K\x01K\x02\x86" * 100_000 + b"e0ccollections\nOrderedDict\nq\x02"
    yield "laughs", b"]q\x00" + b"".join(b"(" + b"h\x00" * 10 + b"lq\x00" for _ in range(40)), "holds no state dict"
    yield "key", b"K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"0}h\x00K\x01s", "unhashable type: 'list'"
    yield "deep key", b"})" + b"\x85" * 450_000 + b"K\x01s", "unhashable type: 'list'"
    moved = b"0h\x00\x85r\x05\x00\x00\x000j\x05\x00\x00\x00q\x00"
    yield "moved key", b"})q\x00" + moved * 2000 + b"K\x01s", "unhashable type: 'list'"
    yield "modules", module + b"}ubq\x00" + (b"cglow\nWaveGlow\n)\x81}(" + nest + b"ubq\x00") * 60, "too deeply nested"
    yield "sets", b"(" + b"\x8f" * 2**20, "pickle of more than 1,048,576 bytes"
    yield "marks", b"(" * 2**20, "pickle of more than 1,048,576 bytes"
    yield "deep lists", b"]" + b"q\x00]h\x00a" * 100_000, "holds no state dict"
    yield "cycle", b"]q\x00h\x00a" + b"2a" * 200_000, "holds no state dict"
    yield "long", b"\x8b\xff\xff\xff\x7f", "is damaged"
    yield "string", b"\x8d" + struct.pack("<Q", 2**62), "is damaged"
    yield "bytes", b"\x8e" + struct.pack("<Q", 2**40), "is damaged"
    yield "array", b"\x96" + struct.pack("<Q", 2**40), "is damaged"
    yield "frame", b"\x95" + struct.pack("<Q", 2**62), "is damaged"
    yield "memo", b"Nr\xff\xff\xff\x7f", "holds no state dict"
    yield "assigned", tensor("0", 4, (4,), (1,)) + b"K\x00]q\x01" + b"0]h\x01ah\x01aq\x01" * 60 + b"s", "is read-only"
    yield (
        "encode",
        text("x" * 2**19) + b"q\x00c_codecs\nencode\nq\x01" + (b"h\x01h\x00" + text("latin1") + b"\x86R") * 1000,
        "holds no state dict",
    )
    yield "copies", pairs + b"h\x02h\x01\x85R" * 1000, "holds no state dict"
    yield "classes", b"".join(b"cm\n%d\n" % i for i in range(90_000)), "holds no state dict"
    yield "storage", persistent_storage("0", 2**40), "it declares more bytes than it has"
    yield (
        "expanded",
        state_dict({"w": tensor("0", 4, (2**45,), (0,))})[2:-1],
        "more than 4 times its own size",
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space as Linux does")
def test_bombs_in_bounded_memory(tmp_path):
    expected = {}
    for name, program, match in bombs():
        program = b"\x80\x02" + program + b"."
        expected[archive(tmp_path / f"{name}.pt", program, {"0": bytes(16)})] = match
        used = {"0": np.zeros(4, "<f4")} if b"Storage" in program else {}
        expected[stream(tmp_path / f"{name}-stream.pt", program, used)] = match
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        path = archive(tmp_path / f"bomb-{method}.pt", bytes(2**26), compression=method)
        expected[path] = "is compressed, which torch.save never does"
    command = [sys.executable, "-c", LIMITED, *map(str, expected)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout[-500:]
    for line, (path, match) in zip(result.stdout.splitlines(), expected.items(), strict=True):
        assert match in line and line.startswith(str(path)), line
