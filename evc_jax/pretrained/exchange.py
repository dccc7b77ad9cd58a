"""A bundle's parameters as safetensors files, which other frameworks read, and a bundle from them again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evc_jax.errors import BundleError, one_line
from evc_jax.files import atomic_dir, printable
from evc_jax.models.network import named_leaves
from evc_jax.pretrained.bundle import (
    PARAMS_FOLDER,
    SAFETENSORS,
    check_replaceable,
    load_bundle,
    stored_params,
    write_params,
)
from evc_jax.pretrained.checksums import CHECKSUMS_FILE, write_checksums
from evc_jax.pretrained.description import DESCRIPTION_FILE, build_network

# Types that are stored, and those that become float32 without loss.
_STORED = {"F16": "float16", "F32": "float32", "BF16": "float32"}


def export_safetensors(bundle: str | os.PathLike, output: str | os.PathLike) -> Path:
    """Writes a bundle with its parameters in NETWORK.safetensors instead of Orbax's folders.

    Names are those of the parameter tree, joined by dots; types are those that the bundle stores. All its other files
    are copied.

    Args:
      bundle: what `load_bundle` takes.
      output: the directory; a bundle there, in either form, is replaced.

    Raises:
      BundleError: it is no bundle, or `output` is something else than one.
    """
    from safetensors.numpy import save_file

    source, target = load_bundle(bundle), Path(output)
    check_replaceable(target)
    with atomic_dir(target) as folder:
        _copy_rest(source.path, folder)
        for name in source.description["networks"]:
            network = build_network(name, source.description["networks"][name]["config"], source.path)
            leaves = named_leaves(stored_params(source.path, name, network))
            tensors = {key: np.ascontiguousarray(leaf) for key, leaf in leaves.items()}
            save_file(tensors, folder / f"{name}{SAFETENSORS}", metadata={"format": "np", "network": name})
        write_checksums(folder)
    return target


def import_safetensors(exported: str | os.PathLike, output: str | os.PathLike) -> Path:
    """Makes a bundle of what `export_safetensors` wrote, or of the same with other values.

    Args:
      exported: a directory, or what else `load_bundle` takes.
      output: the bundle's directory; a bundle there is replaced.

    Raises:
      BundleError: a file is missing or damaged, its tensors are not those of the network, or `output` is something
        else than a bundle.
    """
    target = Path(output)
    check_replaceable(target)
    source = load_bundle(exported)
    networks = source.description["networks"]
    tensors = {name: _read(source.path / f"{name}{SAFETENSORS}") for name in networks}
    types = {str(leaf.dtype) for of_one in tensors.values() for leaf in of_one.values()}
    storage_dtype = "float16" if types == {"float16"} else "float32"
    with atomic_dir(target) as folder:
        _copy_rest(source.path, folder)
        if storage_dtype != source.description.get("storage_dtype"):
            description = {**source.description, "storage_dtype": storage_dtype}
            (folder / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        for name, entry in networks.items():
            shapes = build_network(name, entry["config"], source.path).shapes()
            tree = _as_tree(shapes, tensors[name], source.path / f"{name}{SAFETENSORS}")
            write_params(folder / PARAMS_FOLDER / name, tree, storage_dtype)
        write_checksums(folder)
    return target


def _copy_rest(source: Path, folder: Path) -> None:
    """Copies all but parameters and checksums."""
    for path in source.iterdir():
        if path.is_file() and path.suffix != SAFETENSORS and path.name != CHECKSUMS_FILE:
            shutil.copyfile(path, folder / path.name)


def _read(file: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise BundleError(f"There is no {printable(file)}; give a folder that `evc bundle export` wrote.")
    try:
        with safe_open(file, framework="numpy") as opened:
            types = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
            if unknown := sorted(set(types.values()) - set(_STORED)):
                raise BundleError(
                    f"{printable(file)} has tensors of {', '.join(unknown)}; convert them to F16, BF16 or F32."
                )
            return {name: opened.get_tensor(name).astype(_STORED[kind]) for name, kind in types.items()}
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{printable(file)} cannot be read ({one_line(error)}); copy it again.") from error


def _as_tree(shapes: Any, tensors: dict[str, np.ndarray], file: Path) -> Any:
    """The tensors in the place of the shapes that have their names; raises BundleError where they are others."""
    expected = named_leaves(shapes)
    if wrong := sorted(set(expected) ^ set(tensors)):
        what = "lacks" if wrong[0] in expected else "has also"
        raise BundleError(
            f"{printable(file)} {what} the tensor {printable(wrong[0])}; give the tensors of the network that "
            f"{DESCRIPTION_FILE} describes, and no others."
        )
    for name, leaf in expected.items():
        if tensors[name].shape != leaf.shape:
            raise BundleError(
                f"The tensor {name} of {printable(file)} is {list(tensors[name].shape)}, expected {list(leaf.shape)}; "
                f"give it the shape that follows from {DESCRIPTION_FILE}."
            )
    return jax.tree.unflatten(jax.tree.structure(shapes), [tensors[name] for name in expected])
