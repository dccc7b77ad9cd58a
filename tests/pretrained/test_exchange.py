"""Parameters leave a bundle as safetensors and come back bit for bit; what is not theirs is refused in one sentence."""

import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.tiny_bundles import description, random_params, tiny_speakers, write_bundle

from evc_jax.cli.commands import main
from evc_jax.errors import BundleError
from evc_jax.models.network import named_leaves
from evc_jax.pretrained.bundle import load_bundle, save_bundle, stored_params
from evc_jax.pretrained.checksums import verify_checksums
from evc_jax.pretrained.exchange import export_safetensors, import_safetensors

NAMES = ("voicegan", "codegan")


@pytest.fixture(scope="module", params=["float16", "float32"])
def bundle(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / request.param
    return save_bundle(folder, description(NAMES), random_params(NAMES), request.param, tiny_speakers())


@pytest.fixture
def exported(tmp_path):
    return export_safetensors(write_bundle(tmp_path / "bundle", ("voicegan",)), tmp_path / "exported")


def _same_parameters(first, second):
    for name in load_bundle(first).description["networks"]:
        trees = [stored_params(path, name, load_bundle(path).network(name).network) for path in (first, second)]
        leaves = [jax.tree.leaves(tree) for tree in trees]
        assert jax.tree.structure(trees[0]) == jax.tree.structure(trees[1]) and leaves[0]
        for one, two in zip(*leaves, strict=True):
            assert one.dtype == two.dtype and one.tobytes() == two.tobytes()


def test_a_bundle_comes_back_bit_for_bit_from_the_command_line(bundle, tmp_path, capsys):
    folder, back = tmp_path / "exported", tmp_path / "back"
    assert main(["bundle", "export", str(bundle), "--format", "safetensors", "-o", str(folder)]) == 0
    assert main(["bundle", "import", str(folder), "-o", str(back)]) == 0
    assert capsys.readouterr().out.split() == [str(folder), str(back)]
    _same_parameters(bundle, back)
    for name in ("bundle.json", "speakers.npz"):
        assert (back / name).read_bytes() == (folder / name).read_bytes() == (bundle / name).read_bytes()
    for each in (folder, back):
        verify_checksums(each, "it")
        assert set(json.loads((each / "checksums.json").read_text())["sha256"]) == {
            path.relative_to(each).as_posix() for path in each.rglob("*") if path.is_file()
        } - {"checksums.json"}


def test_other_programs_find_the_tensors_by_name_and_in_the_stored_type(bundle, tmp_path):
    folder = export_safetensors(bundle, tmp_path / "exported")
    assert {path.name for path in folder.glob("*.safetensors")} == {f"{name}.safetensors" for name in NAMES}
    tensors = load_file(folder / "voicegan.safetensors")
    params = random_params(NAMES)["voicegan"]
    flat = {".".join(key.key for key in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    assert set(tensors) == set(flat)
    for name, tensor in tensors.items():
        assert tensor.dtype == np.dtype(bundle.name)
        np.testing.assert_array_equal(tensor, flat[name].astype(bundle.name))


def test_changed_tensors_of_a_wider_type_are_kept_as_float32(exported, tmp_path):
    half = {name: leaf.astype(np.float16) for name, leaf in load_file(exported / "voicegan.safetensors").items()}
    save_file(half, exported / "voicegan.safetensors")
    narrow = load_bundle(import_safetensors(exported, tmp_path / "narrow"))
    assert narrow.description["storage_dtype"] == "float16"
    wide = {name: leaf.astype(np.float32) / 3 for name, leaf in half.items()}
    save_file(wide, exported / "voicegan.safetensors")
    back = load_bundle(import_safetensors(exported, tmp_path / "wide"))
    assert back.description["storage_dtype"] == "float32"
    for name, leaf in named_leaves(back.network("voicegan").params).items():
        np.testing.assert_array_equal(leaf, wide.pop(name))
    assert not wide


def _without_one(tensors):
    del tensors[min(tensors)]


def _with_one_more(tensors):
    tensors["more"] = np.zeros(3, np.float32)


def _transposed(tensors):
    name = next(name for name, leaf in tensors.items() if leaf.ndim == 2 and leaf.shape[0] != leaf.shape[1])
    tensors[name] = np.ascontiguousarray(tensors[name].T)


def _wide(tensors):
    tensors[min(tensors)] = tensors[min(tensors)].astype(np.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_one, "lacks the tensor"),
        (_with_one_more, "has also the tensor more"),
        (_transposed, r"is \[\d+, \d+\], expected \[\d+, \d+\]"),
        (_wide, "has tensors of F64; convert them"),
    ],
)
def test_tensors_of_another_network_are_refused(change, message, exported, tmp_path):
    file = exported / "voicegan.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    with pytest.raises(BundleError, match=message):
        import_safetensors(exported, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_file_that_is_damaged_or_missing_is_named(exported, tmp_path):
    file = exported / "voicegan.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(BundleError, match=r"voicegan\.safetensors cannot be read"):
        import_safetensors(exported, tmp_path / "back")
    file.unlink()
    with pytest.raises(BundleError, match="give a folder that `evc bundle export` wrote"):
        import_safetensors(exported, tmp_path / "back")


def test_exported_tensors_are_no_bundle_to_convert_with(exported):
    with pytest.raises(BundleError, match="of safetensors `evc bundle import` makes one to convert with"):
        load_bundle(exported).network("voicegan")


def test_only_bundles_are_replaced(exported, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    for run in (import_safetensors, export_safetensors):
        with pytest.raises(BundleError, match="exists and is not a bundle"):
            run(exported, tmp_path / "letters")


def test_checksums_are_written_anew_after_a_change(exported, tmp_path, capsys):
    bundle = import_safetensors(exported, tmp_path / "back")
    (bundle / "bundle.json").write_text((bundle / "bundle.json").read_text() + " ")
    with pytest.raises(BundleError, match="bundle.json of it is not what its checksums say"):
        verify_checksums(bundle, "it")
    assert main(["bundle", "checksums", str(bundle)]) == 0
    assert capsys.readouterr().out.strip() == str(bundle / "checksums.json")
    verify_checksums(bundle, "it")
    shutil.rmtree(bundle / "params")
    with pytest.raises(BundleError, match="params/.* of it is missing"):
        verify_checksums(bundle, "it")
