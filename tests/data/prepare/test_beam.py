"""Preparation on Apache Beam gives the local runner's bytes."""

import shutil

import pytest
from support.tiny_corpora import contents, embed, write_ravdess

from evc_jax.data.prepare import storage
from evc_jax.data.prepare.builder import prepare
from evc_jax.errors import DataError

pytest.importorskip("apache_beam")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three speakers in several work shards, and a recording that cannot be used."""
    root = write_ravdess(tmp_path_factory.mktemp("corpus") / "ravdess")
    (root / "Actor_03/03-01-08-01-01-01-03.wav").write_text("no audio")
    return root


@pytest.fixture(scope="module")
def local(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("local")
    return out, prepare("ravdess", corpus, out, embedder=embed, workers=1, progress=False)


def beam(corpus, out, runner="DirectRunner", **options):
    return prepare("ravdess", corpus, out, embedder=embed, runner=runner, **options)


def test_every_file_is_the_local_runners(corpus, local, tmp_path):
    out, expected = local
    report = beam(corpus, tmp_path)
    assert contents(tmp_path) == contents(out)
    assert (report.counts, report.failures, report.found) == (expected.counts, expected.failures, 0)


def test_runners_continue_each_others_work(corpus, local, tmp_path, monkeypatch):
    class Stopped(BaseException):
        pass

    def stop(*arguments):
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(storage, "put_in_place", stop)
        beam(corpus, tmp_path)
    (new,) = (tmp_path / ".prepare-ravdess").glob("new-*")
    shutil.rmtree(new)
    report = prepare("ravdess", corpus, tmp_path, embedder=embed, workers=1, progress=False)
    assert report.found == 25
    assert contents(tmp_path) == contents(local[0])


def fail(*arguments):
    raise SystemError("no such thing")


def test_refusals(corpus, tmp_path):
    with pytest.raises(DataError, match="no runner 'DirektRunner'; choose local, DirectRunner, FlinkRunner"):
        beam(corpus, tmp_path, runner="DirektRunner")
    with pytest.raises(DataError, match="Dataflow's workers do not see .*ravdess; give folders in a bucket"):
        beam(corpus, tmp_path, runner="DataflowRunner")
    with pytest.raises(DataError, match="number of workers was given to DirectRunner; give it in Beam's options"):
        beam(corpus, tmp_path, workers=2)
    with pytest.raises(DataError, match=r"'--direct_running_mode=x', which Beam refuses \(argument .*invalid choice"):
        beam(corpus, tmp_path, beam_options="--direct_running_mode=x")
    with pytest.raises(DataError, match=r"which Beam refuses \(No closing quotation\); mend them"):
        beam(corpus, tmp_path, beam_options="--job_name='x")
    assert not list(tmp_path.iterdir())


def test_a_failing_pipeline_is_one_sentence(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("evc_jax.data.prepare.extract.features_file", fail)
    with pytest.raises(DataError, match=r"The DirectRunner pipeline failed \(.*no such thing.*\); what is finished is"):
        beam(corpus, tmp_path)
