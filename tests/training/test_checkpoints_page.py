"""Every snippet of docs/checkpoints.md runs, and reads what the training saved."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny_voices import train_voices, write_voices

from evc_jax.pretrained.workdir import load_for_inference

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "checkpoints.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a work directory runs/voicegan."""
    root = tmp_path_factory.mktemp("page")
    often = {"checkpoint_every": 1, "validate_every": 1}
    train_voices(write_voices(root / "data"), root / "runs" / "voicegan", steps=2, ema_decay=0.5, **often)
    return root


def run(snippet, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(compile(snippet, "docs/checkpoints.md", "exec"), names)
    return names


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_reads_what_was_saved(number, folder, monkeypatch):
    expected = load_for_inference(folder / "runs" / "voicegan").params["voicegan"]
    names = run(SNIPPETS[number], folder, monkeypatch)
    tolerance = 1e-2 if "targets" in names else 0
    for found in [names[name] for name in ("params", "params_v1") if name in names]:
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(np.float32(one), other, rtol=tolerance)
        if tolerance:
            kernel = found["layers"]["2"]["kernel"]
            assert kernel.dtype == jnp.bfloat16
            assert {shard.data.shape for shard in kernel.addressable_shards} == {(32, 256 // jax.device_count())}


def test_the_page_names_every_item_and_no_other(folder):
    items = {path.name for path in (folder / "runs" / "voicegan" / "checkpoints" / "2").iterdir() if path.is_dir()}
    table = PAGE[PAGE.index("| item |") : PAGE.index("Trees are nested")]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == items
    for item, keys in (("description", {"config", "networks"}), ("progress", {"samples", "fingerprint"})):
        saved = json.loads((folder / "runs" / "voicegan" / "checkpoints" / "2" / item / "metadata").read_text())
        assert keys <= saved.keys()


def test_the_page_names_what_lies_in_a_work_directory(folder):
    written = {path.name for path in (folder / "runs" / "voicegan").iterdir()}
    assert written == {"config.json", "starts.jsonl", "metrics.jsonl", "tensorboard", "checkpoints"}
    assert all(f"`{name}" in PAGE for name in written)
