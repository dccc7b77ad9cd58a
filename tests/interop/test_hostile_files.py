"""Files that want to run code, to fill the memory or to confuse the reader: one sentence, and nothing happens."""

import copyreg
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from torch_files import archive, persistent_storage, state_dict, stream, tensor, text

from evc_jax.errors import CheckpointError
from evc_jax.interop import torch_reader
from evc_jax.interop.original_states import read_state
from evc_jax.interop.torch_reader import read_torch_file

FORBIDDEN = (
    "os.system", "posix.system", "builtins.eval", "__builtin__.getattr", "builtins.type", "sys.modules", "pickle.loads",
    "types.CodeType", "functools.partial", "operator.attrgetter", "copyreg._reconstructor", "copyreg.add_extension",
    "torch.load", "torch.hub.load", "torch.storage._load_from_bytes", "torch.nn.modules.module.__builtins__",
    "torch._utils._rebuild_device_tensor_from_numpy", "numpy.core.multiarray._reconstruct", "joblib.load",
    "evc_jax.cli.main", "__main__.payload",
)  # fmt: skip
TENSOR = tensor("0", 4, (4,), (1,))
OS_SYSTEM = r"asks for (os|posix)\.system, which is neither .* nothing was executed, do not trust this file"


def read(path):
    return read_state(read_torch_file(path))


def refused(path, match):
    """The sentence of the refusal, which must be one."""
    with pytest.raises(CheckpointError, match=match) as caught:
        read(path)
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 400 and sentence.startswith(str(path)) and sentence.endswith(".")
    return sentence


def calls(name, argument=b"X\x01\x00\x00\x00x"):
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + b"(" + argument + b"tR"


@pytest.mark.parametrize("name", FORBIDDEN)
def test_every_other_global_is_refused_by_name(tmp_path, name):
    for write in (archive, stream):
        path = write(tmp_path / "evil.pt", b"\x80\x02}(" + text("model") + calls(name) + b"u.")
        assert name.replace("__builtin__", "builtins") in refused(path, "asks for .*; nothing was executed")


class Shell:
    """What Python's own pickles of `os.system` look like."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("write", [archive, stream, lambda path, program: path.write_bytes(program)])
def test_a_pickled_command_is_not_run(tmp_path, protocol, write):
    program = pickle.dumps({"model": [Shell(f"touch {tmp_path / 'sentinel'}")]}, protocol)
    write(tmp_path / "evil.pt", program)
    refused(tmp_path / "evil.pt", OS_SYSTEM)
    assert not (tmp_path / "sentinel").exists()


COMMAND = text("touch sentinel")


@pytest.mark.parametrize(
    "program",
    [
        calls("collections.OrderedDict", calls("os.system", COMMAND)),
        calls("os.system", COMMAND) + b"0N",
        b"\x8f(" + calls("os.system", COMMAND) + b"\x90",
        b"cglow\nWaveGlow\n)\x81" + calls("os.system", COMMAND) + b"b",
        b"(" + text("storage") + calls("os.system", COMMAND) + b"tQ",
        text("os") + text("system") + b"\x93(" + COMMAND + b"tR",
        b"(" + COMMAND + b"ios\nsystem\n",
        b"(cos\nsystem\n" + COMMAND + b"o",
        b"cos\nsystem\n(" + COMMAND + b"t}\x92",
    ],
    ids=["nested", "unused", "set", "state", "persistent", "stack-global", "instance", "object", "keywords"],
)
def test_every_way_to_call(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    refused(archive(tmp_path / "evil.pt", b"\x80\x04" + program + b"."), OS_SYSTEM)
    assert not (tmp_path / "sentinel").exists()


def test_other_classes_are_neither_imported_nor_called(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    named = b"cevil_module\nEvil\n"
    for way in (b"(K\x01tR", b"(K\x01t\x81", b")}K\x01K\x02s\x92"):
        refused(archive(tmp_path / "evil.pt", b"\x80\x04" + named + way + b"."), r"asks for evil_module\.Evil|damaged")
    tricks = b"".join(text(key) + text("x") for key in ("__class__", "__dict__", "__setstate__", "group", "tensors"))
    path = archive(tmp_path / "module.pt", b"\x80\x02" + named + b")\x81}(" + tricks + b"ub.")
    assert read_torch_file(path).content.tensors() == {} and "evil_module" not in sys.modules


@pytest.mark.parametrize(
    "target",
    [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cglow\nWaveGlow\n", b"ctorch\nSize\n",
     b"ctorch\nFloatStorage\n", TENSOR, persistent_storage("0", 4)],
    ids=["function", "dict", "class", "unused", "type", "tensor", "storage"],
)  # fmt: skip
def test_nothing_that_a_pickle_can_name_takes_a_state(tmp_path, target):
    """BUILD sets attributes, which would outlive the file or undo the check of a tensor's size."""
    for state in (b"}(" + text("shape") + b"(M\xff\xfftu", b"N}(" + text("offset") + b"K\x09u\x86"):
        path = archive(tmp_path / "t.pt", b"\x80\x02}" + text("w") + target + state + b"bs.", {"0": bytes(16)})
        refused(path, "is damaged or no PyTorch checkpoint")


def test_extensions_are_refused_even_if_python_knows_them(tmp_path):
    copyreg.add_extension("os", "system", 241)
    try:
        pickle.loads(b"\x80\x02\x82\xf1.")  # now Python keeps the function and asks `find_class` no more
        refused(archive(tmp_path / "e.pt", b"\x80\x02\x82\xf1(" + COMMAND + b"tR."), "its pickle holds EXT1")
    finally:
        copyreg.remove_extension("os", "system", 241)
        copyreg.clear_extension_cache()


@pytest.mark.parametrize(
    ("program", "match"),
    [
        (b"K\x05Q", "neither of a storage nor of a module"),
        (b"PX\n", "neither of a storage nor of a module"),
        (b"(" + text("storage") + b"K\x01K\x01K\x01K\x01tQ", "neither of a storage nor of a module"),
        (persistent_storage("0", -1), "neither of a storage nor of a module"),
        (persistent_storage("0", 4) + b"0" + persistent_storage("0", 5), "declared with two sizes"),
        (persistent_storage("9", 4), "There is no item named"),
        (persistent_storage("0", 2**60), "storage 0 is of another size than declared"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01tR", "is damaged"),
        (b"ctorch._utils\n_rebuild_tensor_v2\nK\x01R", "is damaged"),
        (b"ctorch._utils\n_rebuild_parameter\n(K\x01K\x01K\x01tR", "a parameter is no tensor"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(K\x01K\x01)NtR", "is no function"),
        (b"K\x01s", "takes more values than it has"),
        (b"t", "is damaged"),
        (b"h\x07", "is damaged"),
        (b"\x97", "is damaged"),
        (b"\xff", "is damaged"),
        (b"X\x02\x00\x00\x00\xff\xff", "is damaged"),
        (b"r\xff\xff\xff\xff", "is damaged|memo entries"),
        (b"Nr\xff\xff\xff\xff", "memo entries"),
        (b"Np4000000000\n", "memo entries"),
    ],
)
def test_malformed_programs(tmp_path, program, match):
    refused(archive(tmp_path / "bad.pt", b"\x80\x02" + program + b".", {"0": bytes(16)}), match)


def test_names_are_shown_harmlessly(tmp_path):
    sentence = refused(archive(tmp_path / "evil.pt", b"\x80\x02cos\n\x1b[2J" + b"x" * 500 + b"\n."), "asks for os")
    assert "\x1b" not in sentence


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((5,), (1,), 0), ((4,), (1,), 1), ((2, 2), (3, 1), 0), ((2**40,), (0,), 0), ((3, 3), (1, 0), 0),
     ((2**40, 2**40), (0, 0), 0), ((1,), (1,), 2**60), ((2,), (2**62,), 0), ((2,), (-1,), 1), ((4,), (1,), -1),
     ((2, 2), (1,), 0)],
)  # fmt: skip
def test_tensors_lie_within_their_storage(tmp_path, shape, stride, offset):
    path = archive(tmp_path / "t.pt", state_dict({"w": tensor("0", 4, shape, stride, offset)}), {"0": bytes(16)})
    refused(path, "does not lie within its storage of 4 values|an impossible shape|has no storage or no shape")


def test_shared_storages_do_not_multiply(tmp_path):
    tensors = {f"w{i}": tensor("0", 1000, (1000,), (1,)) for i in range(100)}
    refused(archive(tmp_path / "t.pt", state_dict(tensors), {"0": bytes(4000)}), "more than 4 times its own size")


def test_damaged_bytes_are_noticed(tmp_path):
    values = np.arange(1000, dtype="<f4").tobytes()
    path = archive(tmp_path / "t.pt", state_dict({"w": tensor("0", 1000, (1000,), (1,))}), {"0": values})
    path.write_bytes(path.read_bytes().replace(values, bytes(1) + values[1:-1] + b"\x01"))
    refused(path, "has another checksum than it was written with")


@pytest.mark.parametrize("write", [archive, stream])
def test_files_that_are_cut_short(tmp_path, write):
    storages = {str(i): np.arange(4, dtype="<f4") for i in range(3)}
    storages = {key: value.tobytes() if write is archive else value for key, value in storages.items()}
    program = state_dict({f"w{i}": tensor(str(i), 4, (2, 2), (2, 1)) for i in range(3)})
    data = write(tmp_path / "whole.pt", program, storages).read_bytes()
    assert len(read(tmp_path / "whole.pt").values) == 3
    for length in range(1, len(data), 7):
        (tmp_path / "cut.pt").write_bytes(data[:length])
        refused(tmp_path / "cut.pt", "is damaged or no PyTorch checkpoint|is no checkpoint that torch.save wrote")


def test_archives_that_lie(tmp_path):
    path = archive(tmp_path / "z.pt", state_dict({"w": TENSOR}), {"0": bytes(16)})
    whole = path.read_bytes()
    first = whole.find(b"PK\x01\x02")
    end = whole.rfind(b"PK\x05\x06")
    for position, layout, values, match in (
        (first + 20, "<II", (2**31, 2**31), "its archive is cut short"),
        (first + 20, "<II", (100, 2**31), "holds archive/data.pkl compressed"),
        (first + 42, "<I", (2**31,), "is damaged"),
        (first + 8, "<H", (1,), "holds archive/data.pkl compressed or encrypted"),
        (first + 28, "<H", (2**16 - 1,), "is damaged"),
        (end + 12, "<II", (2**30, 2**30), "is damaged"),
    ):
        data = bytearray(whole)
        struct.pack_into(layout, data, position, *values)
        path.write_bytes(data)
        refused(path, match)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/weights.bin", b"x")
    refused(path, "its archive holds no data.pkl, or several")


LIMITED = """
import resource, sys
from evc_jax.errors import CheckpointError
from evc_jax.interop.original_states import read_state
from evc_jax.interop.torch_reader import read_torch_file
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
    yield "key", b"K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"0}h\x00K\x01s", "tuple of more than 1000 parts"
    yield "deep key", b"})" + b"\x85" * 450_000 + b"K\x01s", "tuple of more than 1000 parts"
    moved = b"0h\x00\x85r\x05\x00\x00\x000j\x05\x00\x00\x00q\x00"
    yield "moved key", b"})q\x00" + moved * 2000 + b"K\x01s", "tuple of more than 1000 parts"
    yield "modules", module + b"}ubq\x00" + (b"cglow\nWaveGlow\n)\x81}(" + nest + b"ubq\x00") * 60, "too deeply nested"
    yield "sets", b"(" + b"\x8f" * 2**20, "opcodes or memo entries"
    yield "marks", b"(" * 2**20, "opcodes or memo entries"
    yield "deep lists", b"]" + b"q\x00]h\x00a" * 100_000, "holds no state dict"
    yield "cycle", b"]q\x00h\x00a" + b"2a" * 200_000, "holds no state dict"
    yield "long", b"\x8b\xff\xff\xff\x7f", "is damaged"
    yield "string", b"\x8d" + struct.pack("<Q", 2**62), "is damaged"
    yield "bytes", b"\x8e" + struct.pack("<Q", 2**40), "is damaged"
    yield "array", b"\x96" + struct.pack("<Q", 2**40), "is damaged"
    yield "frame", b"\x95" + struct.pack("<Q", 2**62), "is damaged"
    yield "memo", b"Nr\xff\xff\xff\x7f", "opcodes or memo entries"
    yield "encode", text("x" * 2**20) + b"q\x00c_codecs\nencode\nq\x01" + (
        b"h\x01h\x00" + text("latin1") + b"\x86R") * 1000, "holds no state dict"
    yield "copies", pairs + b"h\x02h\x01\x85R" * 1000, "its dicts hold more than the file"
    yield "storage", persistent_storage("0", 2**40), "of another size than declared"
    yield "expanded", state_dict({"w": tensor("0", 4, (2**45,), (0,))})[2:-1], "does not lie within its storage"


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
        expected[path] = "holds archive/data.pkl compressed"
    command = [sys.executable, "-c", LIMITED, *map(str, expected)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout[-500:]
    for line, (path, match) in zip(result.stdout.splitlines(), expected.items(), strict=True):
        assert match in line and line.startswith(str(path)), line


def test_the_pickle_is_inspected_to_its_own_end():
    assert torch_reader._inspect(b"\x80\x02(K\x01K\x02tq\x00h\x00\x86.rest") == 14


@pytest.mark.parametrize("kind", ["archive", "program", "stream"])
def test_random_damage(tmp_path, kind):
    module = b"cglow\nWaveGlow\n)\x81}(" + text("_parameters") + b"}(" + text("w") + tensor("1", 4, (4,), (1,))
    tensors = state_dict({"w": tensor("0", 4, (2, 2), (2, 1)), "n": b"K\x05"})[3:-2]
    program = b"\x80\x02}" + tensors + text("model") + module + b"uub" + text("o") + calls(
        "collections.OrderedDict", b")") + b"u."
    arrays = {str(i): np.arange(4, dtype="<f4") for i in range(2)}
    stored = {key: values.tobytes() for key, values in arrays.items()}
    path, refusals, rng = tmp_path / "f.pt", 0, np.random.default_rng(1)
    whole = (stream(path, program, arrays) if kind == "stream" else archive(path, program, stored)).read_bytes()
    assert read(path).values
    for _ in range(300):
        mutant = bytearray(program if kind == "program" else whole)
        for position in rng.integers(0, len(mutant), rng.integers(1, 6)):
            mutant[position] = rng.choice([rng.integers(256), mutant[position] ^ (1 << rng.integers(8))])
        archive(path, bytes(mutant), stored) if kind == "program" else path.write_bytes(mutant)
        try:
            read(path)
        except CheckpointError as error:
            refusals += 1
            assert "\n" not in str(error) and len(str(error)) < 500
    assert refusals > 75
