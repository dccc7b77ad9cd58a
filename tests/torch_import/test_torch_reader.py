"""Real files of PyTorch are read to the last bit, without PyTorch."""

import collections
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
from support.torch_files import archive, importable, save, state_dict, tensor

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.torch_objects import Module
from evc_jax.torch_import.torch_reader import read_torch_file

torch = pytest.importorskip("torch", reason="needs the extra dev")
FORMATS = [pytest.param(False, id="zip"), pytest.param(True, id="stream")]
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64")


def assert_equal(values: np.ndarray, written) -> None:
    values = values.astype(np.float32) if values.dtype == ml_dtypes.bfloat16 else values
    expected = written.detach()
    expected = (expected.float() if expected.dtype == torch.bfloat16 else expected).numpy()
    assert values.dtype == expected.dtype and values.shape == tuple(written.shape)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("legacy", FORMATS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_type_and_view(tmp_path, legacy, protocol):
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 8, generator=generator)
    state = {name: (10 * torch.randn(3, 4, generator=generator)).to(getattr(torch, name)) for name in DTYPES}
    state |= {"whole": base, "row": base[3], "column": base[:, 2], "block": base[2:5, 1:7:2], "turned": base.T}
    state |= {"scalar": torch.tensor(7.5), "one": base[:1, :1].expand(1, 1), "parameter": torch.nn.Parameter(base)}
    content = read_torch_file(save(torch, state, tmp_path / "f.pt", legacy, protocol)).content
    assert list(content) == list(state)
    for name, written in state.items():
        assert_equal(content[name], written)
    assert np.shares_memory(content["row"], content["whole"])


@pytest.mark.parametrize("legacy", FORMATS)
def test_plain_containers(tmp_path, legacy):
    value = {
        "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, {3: [1.5, None, True]}),
        "long": 2**70,
        "nested": [[{"k": [1, [2, [3]]]}]],
    }
    unused = {
        "set": {1, 2}, "frozen": frozenset({"x"}), "bytes": b"\x00\xff", "empty": b"", "array": bytearray(b"ab"),
        "complex": 1 - 2j, "size": torch.Size([2, 3]), "device": torch.device("cpu"), "dtype": torch.float16,
        "scalar": np.float64(0.25), "count": np.int32(-7),
    }  # fmt: skip
    content = read_torch_file(save(torch, value | unused, tmp_path / "f.pt", legacy)).content
    assert list(content) == [*value, *unused] and {key: content[key] for key in value} == value


def test_ordered_dicts_of_python_2(tmp_path):
    program = b"\x80\x02ccollections\nOrderedDict\n]]" + b"(U\x01wK\x05ea\x85R}U\x09_metadataNsb."
    assert read_torch_file(archive(tmp_path / "two.pt", program)).content == {"w": 5}


@pytest.mark.parametrize("legacy", FORMATS)
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_module_whose_class_cannot_be_imported(tmp_path, legacy):
    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv1d(2, 3, 5, stride=2)
            self.register_buffer("length", torch.tensor(192))
            self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.GroupNorm(1, 3)])

    with importable("no_such_package", Block=Block):
        model = Block()
        save(torch, {"model": model, "iteration": 7}, tmp_path / "f.pt", legacy)
    content = read_torch_file(tmp_path / "f.pt").content
    module, expected = content["model"], model.state_dict()
    assert isinstance(module, Module) and module.name == "no_such_package.Block" and content["iteration"] == 7
    tensors = module.tensors()
    assert set(tensors) == set(expected)
    for name, written in expected.items():
        assert_equal(tensors[name], written)
    assert module.group("_modules")["conv"].state["stride"] == [2]
    assert "no_such_package" not in sys.modules


def test_attributes_of_tensors_and_optimizers(tmp_path):
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    optimizer = torch.optim.Adam([weight], 1e-3)
    weight.sum().backward()
    optimizer.step()
    weight.note = "an attribute"
    file = read_torch_file(save(torch, {"w": weight, "optimizer": optimizer.state_dict()}, tmp_path / "f.pt"))
    assert_equal(file.content["w"], weight)
    assert_equal(file.content["optimizer"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


def test_big_endian(tmp_path):
    path = archive(tmp_path / "big.pt", state_dict({"w": tensor("0", 4, (4,), (1,))}), {"0": bytes(16)})
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/byteorder", b"big")
    with pytest.raises(CheckpointError, match="was saved on a big-endian machine"):
        read_torch_file(path)


def test_nothing_of_pytorch_is_imported(golden_dir):
    code = (
        "import sys; from evc_jax.torch_import.torch_reader import read_torch_file as r; "
        f"r({str(golden_dir / 'speechsplit-G.ckpt')!r}); "
        "assert not {'torch', 'jax', 'pickle_evil'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_checkpoint(tmp_path):
    cases = {
        "missing.pt": (None, "does not exist; give a checkpoint file"),
        "empty.pt": (b"", "is an empty file"),
        "page.pt": (b"<!DOCTYPE html><html></html>", "is no checkpoint that torch.save wrote"),
        "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\n", "is no checkpoint that torch.save wrote"),
        "tar.pt": (bytes(257) + b"ustar\x0000" + bytes(300), "is a tar archive, PyTorch's format before 2017"),
        "other.pt": (b"\x80\x02K\x05.", "is no checkpoint that torch.save wrote"),
    }
    for name, (data, message) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=message):
            read_torch_file(tmp_path / name)
    with pytest.raises(CheckpointError, match="is a folder; give a checkpoint file"):
        read_torch_file(tmp_path)


def test_programs_are_no_checkpoints(tmp_path):
    path = archive(tmp_path / "program.pt", b"\x80\x02}.")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/constants.pkl", b"\x80\x02).", zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="is a TorchScript program, not a checkpoint"):
        read_torch_file(path)
