"""Files that want to run code, to fill the memory or to confuse the reader: one sentence, and nothing happens."""

import copyreg
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
from support.torch_files import archive, persistent_storage, state_dict, stream, tensor, text

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.original_states import read_state
from evc_jax.torch_import.torch_reader import read_torch_file

FORBIDDEN = (
    "os.system", "posix.system", "builtins.eval", "__builtin__.getattr", "builtins.type", "sys.modules", "pickle.loads",
    "types.CodeType", "functools.partial", "operator.attrgetter", "copyreg._reconstructor", "copyreg.add_extension",
    "torch.load", "torch.hub.load", "torch.storage._load_from_bytes", "torch.nn.modules.module.__builtins__",
    "torch._utils._rebuild_device_tensor_from_numpy", "numpy.core.multiarray._reconstruct", "joblib.load",
    "evc_jax.cli.commands.main", "__main__.payload",
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
        refused(
            archive(tmp_path / "e.pt", b"\x80\x02\x82\xf1(" + COMMAND + b"tR."),
            "an opcode of pickle that no checkpoint needs",
        )
    finally:
        copyreg.remove_extension("os", "system", 241)
        copyreg.clear_extension_cache()


@pytest.mark.parametrize(
    ("program", "match"),
    [
        (b"K\x05Q", "neither of a storage nor of a module"),
        (b"PX\n", "neither of a storage nor of a module"),
        (b"(" + text("storage") + b"K\x01K\x01K\x01K\x01tQ", "neither of a storage nor of a module"),
        (persistent_storage("0", -1), "it declares more bytes than it has"),
        (persistent_storage("0", 4) + b"0" + persistent_storage("0", 5), "declared with two sizes"),
        (persistent_storage("9", 4), "There is no item named"),
        (persistent_storage("0", 2**60), "it declares more bytes than it has"),
        (persistent_storage("0", 5), "storage 0 is of another size than declared"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01tR", "is damaged"),
        (b"ctorch._utils\n_rebuild_tensor_v2\nK\x01R", "is damaged"),
        (b"ctorch._utils\n_rebuild_parameter\n(K\x01K\x01K\x01tR", "a parameter is no tensor"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(K\x01K\x01)NtR", "is damaged"),
        (b"K\x01s", "is damaged"),
        (b"})K\x01s", "unhashable"),
        (b"t", "is damaged"),
        (b"h\x07", "is damaged"),
        (b"\x97", "is damaged"),
        (b"\xff", "is damaged"),
        (b"X\x02\x00\x00\x00\xff\xff", "is damaged"),
        (b"r\xff\xff\xff\xff", "is damaged"),
    ],
)
def test_malformed_programs(tmp_path, program, match):
    refused(archive(tmp_path / "bad.pt", b"\x80\x02" + program + b".", {"0": bytes(16)}), match)


def test_names_are_shown_harmlessly(tmp_path):
    sentence = refused(archive(tmp_path / "evil.pt", b"\x80\x02cos\n\x1b[2J" + b"x" * 500 + b"\n."), "asks for os")
    assert "\x1b" not in sentence


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((5,), (1,), 0), ((4,), (1,), 1), ((2, 2), (3, 1), 0), ((2**40,), (0,), 0), ((2**40, 2**40), (0, 0), 0),
     ((1,), (1,), 2**60), ((2,), (2**62,), 0), ((2,), (-1,), 0), ((4,), (1,), -1), ((2, 2), (1,), 0)],
)  # fmt: skip
def test_tensors_lie_within_their_storage(tmp_path, shape, stride, offset):
    path = archive(tmp_path / "t.pt", state_dict({"w": tensor("0", 4, shape, stride, offset)}), {"0": bytes(16)})
    refused(path, "is damaged or no PyTorch checkpoint|more than 4 times its own size")


def test_shared_storages_do_not_multiply(tmp_path):
    tensors = {f"w{i}": tensor("0", 1000, (1000,), (1,)) for i in range(100)}
    refused(archive(tmp_path / "t.pt", state_dict(tensors), {"0": bytes(4000)}), "more than 4 times its own size")


def test_damaged_bytes_are_noticed(tmp_path):
    values = np.arange(1000, dtype="<f4").tobytes()
    path = archive(tmp_path / "t.pt", state_dict({"w": tensor("0", 1000, (1000,), (1,))}), {"0": values})
    path.write_bytes(path.read_bytes().replace(values, bytes(1) + values[1:-1] + b"\x01"))
    refused(path, "Bad CRC-32")


@pytest.mark.parametrize("write", [archive, stream])
def test_files_that_are_cut_short(tmp_path, write):
    storages = {str(i): np.arange(4, dtype="<f4") for i in range(3)}
    storages = {key: value.tobytes() if write is archive else value for key, value in storages.items()}
    program = state_dict({f"w{i}": tensor(str(i), 4, (2, 2), (2, 1)) for i in range(3)})
    data = write(tmp_path / "whole.pt", program, storages).read_bytes()
    assert len(read(tmp_path / "whole.pt").values) == 3
    for length in range(1, len(data), 7):
        (tmp_path / "cut.pt").write_bytes(data[:length])
        refused(
            tmp_path / "cut.pt",
            "is damaged or no PyTorch checkpoint|is no checkpoint that torch.save wrote|asks for (torch|collections)",
        )


def test_archives_that_lie(tmp_path):
    path = archive(tmp_path / "z.pt", state_dict({"w": TENSOR}), {"0": bytes(16)})
    whole = path.read_bytes()
    first = whole.find(b"PK\x01\x02")
    end = whole.rfind(b"PK\x05\x06")
    for position, layout, values, match in (
        (first + 20, "<II", (2**31, 2**31), "its archive is cut short"),
        (first + 20, "<II", (100, 2**31), "its archive is cut short"),
        (first + 42, "<I", (2**31,), "is damaged"),
        (first + 8, "<H", (1,), "is encrypted"),
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


@pytest.mark.parametrize("kind", ["archive", "program", "stream"])
def test_random_damage(tmp_path, kind):
    module = b"cglow\nWaveGlow\n)\x81}(" + text("_parameters") + b"}(" + text("w") + tensor("1", 4, (4,), (1,))
    tensors = state_dict({"w": tensor("0", 4, (2, 2), (2, 1)), "n": b"K\x05"})[3:-2]
    program = (
        b"\x80\x02}"
        + tensors
        + text("model")
        + module
        + b"uub"
        + text("o")
        + calls("collections.OrderedDict", b")")
        + b"u."
    )
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
