"""Files that want to run code, to fill the memory or to confuse the reader: one sentence, and nothing happens."""

import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from support.torch_files import archive, persistent_storage, state_dict, stream, tensor, text

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.original_states import find_state, read_values
from evc_jax.torch_import.torch_reader import read_torch_file

FORBIDDEN = (
    "os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.getattr",
    "builtins.__import__", "builtins.open", "builtins.setattr", "builtins.object", "builtins.type", "sys.modules",
    "importlib.import_module", "runpy.run_path", "pickle.loads", "shutil.rmtree", "webbrowser.open", "code.interact",
    "types.CodeType", "types.FunctionType", "functools.partial", "functools.reduce", "operator.attrgetter",
    "copyreg._reconstructor", "copyreg.__newobj__", "copyreg.add_extension", "collections.namedtuple",
    "torch.load", "torch.hub.load", "torch.save", "torch.storage._load_from_bytes", "torch.jit.load",
    "torch.package.PackageImporter", "torch.utils.data.DataLoader", "torch.nn.modules.module.__builtins__",
    "torch._utils._rebuild_device_tensor_from_numpy", "torch.QInt8Storage", "torch.float8_e4m3fn",
    "numpy.load", "numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.f2py.diagnose.run_command",
    "numpy.testing._private.utils.runstring", "evc_jax.cli.commands.main", "joblib.load", "pip.main",
    "site_packages.payload.run", "__main__.payload",
)  # fmt: skip


class Shell:
    """What Python's own pickles of `os.system` look like."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


def refused(path, match):
    """The sentence of the refusal, which must be one."""
    with pytest.raises(CheckpointError, match=match) as caught:
        file = read_torch_file(path)
        read_values(file, find_state(file).tensors)
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
        assert name in refused(path, "asks for .*; nothing was executed, do not trust this file")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrapper", ["archive", "stream", "bare"])
def test_a_pickled_command_is_not_run(tmp_path, protocol, wrapper):
    sentinel = tmp_path / "sentinel"
    program = pickle.dumps({"model": [Shell(f"touch {sentinel}")]}, protocol)
    path = tmp_path / "evil.pt"
    if wrapper == "bare":
        path.write_bytes(program)
    else:
        {"archive": archive, "stream": stream}[wrapper](path, program)
    assert ".system" in refused(path, r"asks for (posix|nt|os)\.system")
    assert not sentinel.exists()


def test_every_way_to_call(tmp_path):
    command = text(f"touch {tmp_path / 'sentinel'}")
    payload = calls("os.system", command)
    ways = {
        "nested": calls("collections.OrderedDict", payload),
        "unused": payload + b"0N",
        "in a set": b"\x8f(" + payload + b"\x90",
        "in the state": b"cglow\nWaveGlow\n)\x81" + payload + b"b",
        "in a persistent id": b"(" + text("storage") + payload + b"tQ",
        "stack global": text("os") + text("system") + b"\x93(" + command + b"tR",
        "instance": b"(" + command + b"ios\nsystem\n",
        "object": b"(cos\nsystem\n" + command + b"o",
        "new object": b"cos\nsystem\n(" + command + b"t\x81",
        "with keywords": b"cos\nsystem\n(" + command + b"t}\x92",
    }
    for name, program in ways.items():
        path = archive(tmp_path / f"{name}.pt", b"\x80\x04" + program + b".")
        refused(path, r"asks for os\.system")
    assert not (tmp_path / "sentinel").exists()


def test_classes_are_proven_by_what_they_are(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    named = b"cevil_module\nEvil\n"
    empty = b"".join(text(group) + b"}" for group in ("_parameters", "_buffers", "_modules"))
    for name, program in {
        "called": named + b"(" + text("x") + b"tR",
        "made with arguments": named + b"(" + text("x") + b"t\x81",
        "stateless": named + b")\x81",
        "with another state": named + b")\x81}(" + text("command") + text("x") + b"ub",
        "only named": named,
        "persistent": b"(" + text("module") + named + b"NNtQ",
    }.items():
        path = archive(tmp_path / f"{name}.pt", b"\x80\x02" + program + b".")
        refused(path, r"asks for evil_module\.Evil, which is neither")
    tricks = b"".join(text(key) + text("x") for key in ("__class__", "__dict__", "__setstate__", "__del__", "tensors"))
    program = b"\x80\x02" + named + b")\x81}(" + empty + tricks + b"ub."
    module = read_torch_file(archive(tmp_path / "module.pt", program)).content
    assert module.tensors() == {} and type(module).__name__ == "Module" and "evil_module" not in sys.modules


@pytest.mark.parametrize(
    ("program", "match"),
    [
        (b"K\x05Q", "an identifier of a storage is no tuple"),
        (b"PX\n", "an identifier of a storage is no tuple"),
        (b"(" + text("storage") + b"K\x01K\x01K\x01K\x01tQ", "neither of a storage nor of a module"),
        (persistent_storage("0", -1), "impossible size"),
        (persistent_storage("0", 2**62), "impossible size"),
        (persistent_storage("0", 4) + b"0" + persistent_storage("0", 5), "declared with two sizes"),
        (persistent_storage("9", 4), "storage '9' is missing or of another size than declared"),
        (persistent_storage("0", 5), "storage '0' is missing or of another size than declared"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01tR", "is called with what it does not take"),
        (b"ctorch._utils\n_rebuild_tensor_v2\nK\x01R", "is called with no tuple of arguments"),
        (b"ctorch._utils\n_rebuild_parameter\n(K\x01K\x01K\x01tR", "it has a int where a Tensor belongs"),
        (b"ctorch\nfloat32\n)R", "asks for float32"),
        (b"K\x05)R", "a int is called"),
        (b"K\x05K\x05b", "the state of a int is set"),
        (b"cnumpy\ndtype\n(" + text("O8") + b"K\x00K\x01tR", "asks for the NumPy type O8"),
        (b"}((K\x01K\x02tK\x03K\x04tK\x05s", "is no plain key"),
        (b"}]K\x05s", "is no plain key"),
        (b"K\x01s", "takes more values than it has"),
        (b"}(K\x01u", "a key without a value"),
        (b"K\x01a", "takes more values than it has"),
        (b"K\x01K\x01a", "takes a int for a list"),
        (b"t", "lacks a mark"),
        (b"h\x07", "recalls what it never stored"),
        (b"\x82\x01", "holds EXT1"),
        (b"\x97", "holds NEXT_BUFFER"),
        (b"\xff", "unknown opcode 255"),
        (b"\x80\x63", "of an unknown protocol"),
        (b"X\x02\x00\x00\x00\xff\xff", "string of no known encoding"),
        (b"I12x\n", "text that is no value"),
        (b"Sx\n", "text that is no value"),
        (b"cos", "ends in the middle of a line"),
        (b"\x8b\xff\xff\xff\x7f", "ends too early or is too long"),
        (b"\x8b\x00\x01\x00\x00" + bytes(256), "an integer of 256 bytes"),
        (b"ccollections\nOrderedDict\n(](]etR", "is called with what it does not take"),
    ],
)
def test_malformed_programs(tmp_path, program, match):
    refused(archive(tmp_path / "bad.pt", b"\x80\x02" + program + b".", {"0": bytes(16)}), match)


def test_names_are_shown_harmlessly(tmp_path):
    sentence = refused(archive(tmp_path / "evil.pt", b"\x80\x02cos\n\x1b[2J" + b"x" * 500 + b"\n."), "asks for os")
    assert "\x1b" not in sentence


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((5,), (1,), 0), ((4,), (1,), 1), ((2, 2), (3, 1), 0), ((2**40,), (0,), 0), ((3, 3), (1, 0), 0), ((0,), (1,), 0),
     ((2**40, 2**40), (0, 0), 0), ((1,), (1,), 2**60)],
)  # fmt: skip
def test_tensors_lie_within_their_storage(tmp_path, shape, stride, offset):
    path = archive(tmp_path / "t.pt", state_dict({"w": tensor("0", 4, shape, stride, offset)}), {"0": bytes(16)})
    refused(path, "does not lie within its storage of 16 bytes|more than 4 times its own size")


def test_shared_storages_do_not_multiply(tmp_path):
    tensors = {f"w{i}": tensor("0", 1000, (1000,), (1,)) for i in range(100)}
    refused(archive(tmp_path / "t.pt", state_dict(tensors), {"0": bytes(4000)}), "more than 4 times its own size")


def test_damaged_bytes_are_noticed(tmp_path):
    values = np.arange(1000, dtype="<f4").tobytes()
    path = archive(tmp_path / "t.pt", state_dict({"w": tensor("0", 1000, (1000,), (1,))}), {"0": values})
    path.write_bytes(path.read_bytes().replace(values, bytes(1) + values[1:-1] + b"\x01"))
    refused(path, "storage '0' has another checksum than it was written with")


@pytest.mark.parametrize("write", [archive, stream])
def test_files_that_are_cut_short(tmp_path, write):
    program = state_dict({f"w{i}": tensor(str(i), 4, (2, 2), (2, 1)) for i in range(3)})
    storages = {str(i): np.arange(4, dtype="<f4") for i in range(3)}
    if write is archive:
        storages = {key: value.tobytes() for key, value in storages.items()}
    data = write(tmp_path / "whole.pt", program, storages).read_bytes()
    assert len(read_torch_file(tmp_path / "whole.pt").content) == 3
    path = tmp_path / "cut.pt"
    for length in range(1, len(data), 5):
        path.write_bytes(data[:length])
        refused(path, "is damaged or no PyTorch checkpoint|is no checkpoint that torch.save wrote")


def entry_headers(data):
    """Where the central directory's entries begin."""
    position = data.find(b"PK\x01\x02")
    while position >= 0:
        yield position
        position = data.find(b"PK\x01\x02", position + 1)


def test_archives_that_lie(tmp_path):
    program, path = state_dict({"w": tensor("0", 4, (4,), (1,))}), tmp_path / "z.pt"
    whole = archive(path, program, {"0": bytes(16)}).read_bytes()
    first, _, third = entry_headers(whole)

    def patched(position, layout, *values):
        data = bytearray(whole)
        struct.pack_into(layout, data, position, *values)
        path.write_bytes(data)

    patched(third + 42, "<I", struct.unpack_from("<I", whole, first + 42)[0])
    refused(path, "reaches into what follows")
    patched(first + 20, "<II", 2**31, 2**31)
    refused(path, "reaches into what follows")
    patched(third + 42, "<I", 2**31)
    refused(path, "its archive is cut short")
    patched(third + 42, "<I", 1)
    refused(path, "directory does not fit its contents")
    patched(first + 8, "<H", 1)
    refused(path, "holds archive/data.pkl encrypted")
    patched(first + 28, "<H", 2**16 - 1)
    refused(path, "directory is cut short")
    end = whole.rfind(b"PK\x05\x06")
    patched(end + 12, "<II", 2**30, 2**30)
    refused(path, "directory lies outside of it")
    patched(end + 8, "<HHII", 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    refused(path, "directory does not fit its contents")
    archive(path, program, {"0": bytes(16), "1": bytes(16)})
    path.write_bytes(path.read_bytes().replace(b"data/1", b"data/0"))
    refused(path, "its archive holds archive/data/0 twice")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/weights.bin", b"x")
    refused(path, "its archive holds no data.pkl, or several")


LIMITED = """
import resource, sys
from evc_jax.errors import CheckpointError
from evc_jax.interop.original_states import find_state, read_values
from evc_jax.interop.torch_reader import read_torch_file
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 384 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (50, 50))
for path in sys.argv[1:]:
    try:
        file = read_torch_file(path)
        read_values(file, find_state(file).tensors)
    except CheckpointError as error:
        print(error)
    else:
        sys.exit(path + " was read")
"""


IN_BOTH_FORMATS = ("laughs", "marks", "string", "storage", "expanded")


def bombs():
    """Programs, small or of a few megabytes, that grow without bounds when they are believed."""
    doubling = b"".join(b"(" + b"h\x00" * 10 + b"lq\x00" for _ in range(40))
    keys = b"".join(b"h\x00h\x00\x86q\x00" for _ in range(60))
    modules = b"".join(text("_modules") + b"}(" + text("a") + b"h\x00" + text("b") + b"h\x00u" for _ in range(1))
    module = b"cglow\nWaveGlow\n)\x81}(" + text("_parameters") + b"}" + text("_buffers") + b"}"
    million = b"]q\x01(" + b"K\x01" * 300_000 + b"e0"
    yield "laughs", b"]q\x00" + doubling, "holds no state dict"
    yield "key", b"K\x01q\x00" + keys + b"0}h\x00K\x01s", "is no plain key"
    yield "modules", module + text("_modules") + b"}ubq\x00" + (module + modules + b"ubq\x00") * 60, "too deeply nested"
    yield "sets", b"(" + b"\x8f" * 2**20, "opcodes, which no checkpoint"
    yield "marks", b"(" * 2**20, "opcodes, which no checkpoint"
    yield "deep", b")" + b"\x85" * 450_000, "holds no state dict"
    yield "deep lists", b"]" + b"q\x00]h\x00a" * 100_000, "holds no state dict"
    yield "cycle", b"]q\x00h\x00a" + b"2a" * 200_000, "holds no state dict"
    yield "long", b"\x8b\xff\xff\xff\x7f", "ends too early or is too long"
    yield "string", b"\x8d" + struct.pack("<Q", 2**62), "ends too early or is too long"
    yield "bytes", b"\x8e" + struct.pack("<Q", 2**40), "ends too early or is too long"
    yield (
        "encode",
        text("x" * 2**20) + b"q\x00c_codecs\nencode\nq\x01" + (b"h\x01h\x00" + text("latin1") + b"\x86R") * 1000,
        "unfolds to far more than its own size",
    )
    yield "copies", million + b"c__builtin__\nset\nq\x02" + b"h\x02h\x01\x85R0" * 1000, "unfolds to far more"
    many = b"(" + b"K\x01" * 300_000 + b"tq\x01"
    yield "arguments", many + b"c__builtin__\nset\nq\x02" + b"h\x02h\x01R0" * 1000, "no tuple of"
    yield "storage", persistent_storage("0", 2**40), "missing or of another size"
    yield "expanded", state_dict({"w": tensor("0", 4, (2**45,), (0,))})[2:-1], "more than 4 times its own size"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space as Linux does")
def test_bombs_in_bounded_memory(tmp_path):
    paths, expected = [], []
    for name, program, match in bombs():
        program = b"\x80\x02" + program + b"."
        paths.append(archive(tmp_path / f"{name}.pt", program, {"0": bytes(16)}))
        expected.append(match)
        if name in IN_BOTH_FORMATS:
            used = {"0": np.zeros(4, "<f4")} if b"Storage" in program else {}
            paths.append(stream(tmp_path / f"{name}-stream.pt", program, used))
            expected.append("ends before its last storage" if name == "storage" else match)
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        paths.append(archive(tmp_path / f"bomb-{method}.pt", bytes(2**26), compression=method))
        expected.append("holds archive/data.pkl compressed")
    assert 10_000 * paths[-1].stat().st_size < 2**26
    command = [sys.executable, "-c", LIMITED, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout[-500:]
    lines = result.stdout.splitlines()
    assert len(lines) == len(paths)
    for line, match, path in zip(lines, expected, paths, strict=True):
        assert any(part in line for part in match.split("|")) and line.startswith(str(path)), line


def mutants(data: bytes, count: int, seed: int):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        mutant = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 6)):
            mutant[position] = rng.choice([rng.integers(256), mutant[position] ^ (1 << rng.integers(8))])
        if rng.random() < 0.2:
            start = rng.integers(len(data))
            mutant[start:start] = mutant[rng.integers(len(data)) :][: rng.integers(1, 20)]
        yield bytes(mutant)


@pytest.mark.parametrize("kind", ["archive", "program", "stream"])
def test_random_damage(tmp_path, kind):
    module = b"cglow\nWaveGlow\n)\x81}(" + text("_parameters") + b"}(" + text("w") + tensor("1", 4, (4,), (1,)) + b"u"
    module += text("_buffers") + b"}" + text("_modules") + b"}ub"
    tensors = state_dict({"w": tensor("0", 4, (2, 2), (2, 1)), "n": b"K\x05"})[3:-2]
    ordered = calls("collections.OrderedDict", b")")
    program = b"\x80\x02}" + tensors + text("model") + module + text("o") + ordered + b"u."
    arrays = {str(i): np.arange(4, dtype="<f4") for i in range(2)}
    stored = {key: values.tobytes() for key, values in arrays.items()}
    path, refusals = tmp_path / "f.pt", 0
    whole = (stream(path, program, arrays) if kind == "stream" else archive(path, program, stored)).read_bytes()
    assert find_state(read_torch_file(path)).tensors
    for mutant in mutants(program if kind == "program" else whole, 300, seed=1):
        archive(path, mutant, stored) if kind == "program" else path.write_bytes(mutant)
        try:
            file = read_torch_file(path)
            read_values(file, find_state(file).tensors)
        except CheckpointError as error:
            refusals += 1
            assert "\n" not in str(error) and len(str(error)) < 500
    assert refusals > 75
