"""Corpora and datasets in a bucket: gcsfs and ArrayRecord's own reader talk to a bucket that is served here."""

import numpy as np
import pytest
from support.fake_bucket import fake_bucket
from support.tiny_corpora import contents, embed, write_ravdess

from evc_jax.data.dataset import dataset_info, open_speakers, open_split
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.builder import prepare
from evc_jax.data.prepare.excerpt import take_excerpt
from evc_jax.data.prepare.listing import list_corpus
from evc_jax.errors import DataError

pytest.importorskip("gcsfs")

CORPUS, DATASETS = "gs://bucket/corpora/ravdess", "gs://bucket/datasets"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket with a corpus and its dataset, and what a local preparation makes of that corpus."""
    root = write_ravdess(tmp_path_factory.mktemp("corpus") / "ravdess")
    (root / "Actor_03/03-01-08-01-01-01-03.wav").write_text("no audio")
    local = tmp_path_factory.mktemp("local")
    prepare("ravdess", root, local, embedder=embed, workers=1, progress=False)
    with pytest.MonkeyPatch.context() as patch, fake_bucket(patch) as objects:
        for path in root.rglob("*.wav"):
            objects[f"corpora/ravdess/{path.relative_to(root)}"] = path.read_bytes()
        report = make()
        assert str(report.path) == f"{DATASETS}/speech/ravdess/1.0.0" and report.counts["train"] == 8
        yield objects, local


def make():
    return prepare("ravdess", CORPUS, DATASETS, embedder=embed, workers=1, progress=False)


def test_from_bucket_to_bucket(bucket, tmp_path):
    objects, local = bucket
    written = {name: content for name, content in objects.items() if not name.startswith("corpora/")}
    for name, content in written.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert contents(tmp_path / "datasets") == contents(local)


def test_records_are_read_from_the_bucket(bucket):
    _, local = bucket
    there, here = (open_split(place, "ravdess", "test") for place in (DATASETS, local))
    assert len(there) == len(here) == 8
    for a, b in zip(there, here, strict=True):
        assert a["utterance_id"] == b["utterance_id"]
        np.testing.assert_array_equal(a["mel"], b["mel"])
    assert open_speakers(DATASETS, "ravdess", "test").names == open_speakers(local, "ravdess", "test").names


def test_a_stopped_run_in_a_bucket_is_continued(bucket, monkeypatch):
    objects, _ = bucket
    before = dict(objects)

    def stop(*arguments):
        raise KeyboardInterrupt

    for name in [name for name in objects if name.startswith("datasets/")]:
        del objects[name]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        # In the midst of moving: the dataset is not there until its description is.
        patch.setattr(storage, "_move_object", stop)
        make()
    with pytest.raises(DataError, match="no dataset 'ravdess' in gs://bucket/datasets"):
        dataset_info(DATASETS, "ravdess")
    assert make().found == 25
    assert {**before, **objects} == objects


def test_an_excerpt_is_the_local_one(bucket, tmp_path):
    root = write_ravdess(tmp_path / "ravdess")
    here, there = (list_corpus("ravdess", source, "ravdess").utterances for source in (root, CORPUS))
    expected = [utterance.utterance_id for utterance in take_excerpt(here, 5.0, 16000)]
    assert 5 < len(expected) < len(here)
    assert [utterance.utterance_id for utterance in take_excerpt(there, 5.0, 16000)] == expected


def test_errors_name_the_bucket(bucket):
    with pytest.raises(DataError, match="gs://bucket/corpora/none does not exist; expected the ravdess corpus there"):
        prepare("ravdess", "gs://bucket/corpora/none", DATASETS)
    with pytest.raises(DataError, match="gs://bucket/corpora/ravdess/metadata.csv is missing"):
        prepare("ljspeech", CORPUS, DATASETS)
