import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath
from support.tiny_corpora import contents, contents_of, embed, touch, wait_until, write_buzz, write_ravdess

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import PCM_SCALE
from evc_jax.data.corpora import read_corpus
from evc_jax.data.dataset import audio_config, dataset_info, open_speakers, open_split
from evc_jax.data.prepare import builder, local_runner, storage, tfds_writer
from evc_jax.data.prepare.builder import prepare
from evc_jax.data.prepare.listing import list_corpus
from evc_jax.errors import DataError
from evc_jax.files import printable


def make(root: Path, out: Path, workers: int = 1, **options):
    return prepare("ravdess", root, out, embedder=embed, workers=workers, progress=False, **options)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """24 good recordings and one that is text."""
    root = write_ravdess(tmp_path_factory.mktemp("corpus") / "ravdess")
    (root / "Actor_03/03-01-08-01-01-01-03.wav").write_text("no audio")
    return root


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, make(corpus, out, workers=2)


def test_report_counts_and_names_what_failed(corpus, prepared):
    _, report = prepared
    assert report.counts == {"train": 8, "validation": 8, "test": 8}
    (failure,) = report.failures
    assert failure.utterance_id == "Actor_03/03-01-08-01-01-01-03"
    assert failure.reason.startswith("Actor_03/03-01-08-01-01-01-03.wav cannot be read")
    assert "8 train, 8 validation, 8 test" in str(report) and "unusable: Actor_03/03-01-08" in str(report)


def test_metadata(prepared):
    out, report = prepared
    info = dataset_info(out, "ravdess")
    assert info["licence"] == "CC BY-NC-SA 4.0"
    assert info["counts"] == report.counts
    assert info["emotions"] == {"angry": 12, "neutral": 12}
    assert (info["speakers"], info["embedder"], len(info["failures"])) == (6, "embed", 1)
    assert audio_config(out, "ravdess") == AudioConfig()


def test_records_hold_aligned_features_and_speaker_statistics(prepared):
    out, report = prepared
    by_speaker = {}
    for split, count in report.counts.items():
        source = open_split(out, "ravdess", split)
        assert len(source) == count
        for record in source:
            frames = len(record["audio"]) // 256 + 1
            assert record["mel"].shape == (frames, 80) and record["f0_hz"].shape == (frames,)
            assert record["mel"].dtype == record["f0_hz"].dtype == np.float32 and record["audio"].dtype == np.int16
            assert record["mel"].min() >= 0 and record["mel"].max() <= 1
            assert np.abs(record["audio"]).max() > 0.05 * PCM_SCALE
            by_speaker.setdefault(record["speaker"], []).append(record | {"split": split})
    assert len(by_speaker) == 6
    for records in by_speaker.values():
        assert len({record["split"] for record in records}) == 1
        mean = np.mean([record["utterance_embedding"] for record in records], axis=0)
        np.testing.assert_allclose(records[0]["speaker_embedding"], mean / np.linalg.norm(mean), rtol=1e-5)
        voiced = np.concatenate([record["f0_hz"] for record in records])
        voiced = np.log(voiced[voiced > 0])
        assert records[0]["log_f0_mean"] == pytest.approx(voiced.mean(), abs=1e-4)
        assert records[0]["log_f0_std"] == pytest.approx(voiced.std(), abs=1e-4)
    low, high = (np.exp(by_speaker[name][0]["log_f0_mean"]) for name in ("ravdess-01", "ravdess-02"))
    assert 100 < low < 0.8 * high < 300


def test_speaker_table_agrees_with_the_records(prepared):
    out, _ = prepared
    table = open_speakers(out, "ravdess", "test")
    records = {record["speaker"]: record for record in open_split(out, "ravdess", "test")}
    assert set(table.names) == set(records) and sorted(table.sexes) == ["female", "male"]
    for name, embedding, mean in zip(table.names, table.embeddings, table.log_f0_mean, strict=True):
        np.testing.assert_array_equal(embedding, records[name]["speaker_embedding"])
        assert mean == pytest.approx(records[name]["log_f0_mean"])
    assert table.utterances.tolist() == [4, 4]


def test_bytes_do_not_depend_on_workers_or_place(corpus, prepared, tmp_path):
    out, _ = prepared
    copy = write_ravdess(tmp_path / "elsewhere")
    (copy / "Actor_03/03-01-08-01-01-01-03.wav").write_text("no audio")
    make(copy, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(out)


def test_too_many_failures_leave_the_existing_dataset_alone(tmp_path):
    write_ravdess(tmp_path / "corpus", actors=3)
    out = tmp_path / "out"
    make(tmp_path / "corpus", out)
    before = contents(out)
    for emotion in ("02", "03"):
        (tmp_path / f"corpus/Actor_01/03-01-{emotion}-01-01-01-01.wav").write_text("no audio")
    message = r"2 of the 14 recordings in .* cannot be used, more than 5%; .*\(the first: Actor_01/03-01-02"
    with pytest.raises(DataError, match=message):
        make(tmp_path / "corpus", out)
    assert contents(out / "speech") == contents_of(before, "speech/")
    # After the repair only what had failed is extracted again.
    for emotion in ("02", "03"):
        write_buzz(tmp_path / f"corpus/Actor_01/03-01-{emotion}-01-01-01-01.wav")
    lines = []
    report = make(tmp_path / "corpus", out, log=lines.append)
    assert sum(report.counts.values()) == 14 and not report.failures
    assert 0 < report.found < 14
    assert lines == [f"{report.found} of 14 recordings were extracted by an earlier run and are kept (2 of 3 shards)."]
    assert [path.name for path in out.iterdir()] == ["speech"]


def test_a_finished_dataset_replaces_the_old_one(tmp_path):
    write_ravdess(tmp_path / "corpus", actors=1)
    said = "it is in place of the dataset of that name that was there"
    assert said not in make(tmp_path / "corpus", tmp_path / "out").notes
    write_buzz(tmp_path / "corpus/Actor_01/03-01-03-01-01-01-01.wav")
    report = make(tmp_path / "corpus", tmp_path / "out")
    assert said in report.notes
    assert sum(report.counts.values()) == 5
    assert sum(dataset_info(tmp_path / "out", "ravdess")["counts"].values()) == 5
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["speech"]


def test_the_work_folder_has_one_owner_and_goes_when_nothing_is_in_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), builder._work_folder(epath.Path(tmp_path), "ravdess") as work:
        busy = pytest.raises(DataError, match="ravdess is being prepared in .* by another process")
        with busy, builder._work_folder(epath.Path(tmp_path), "ravdess"):
            pass
        assert work.exists()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_workers_end_with_a_killed_parent(tmp_path):
    write_ravdess(tmp_path / "corpus", actors=6)
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "if __name__ == '__main__':\n"
        "    from support.tiny_corpora import contents, contents_of, wait_until, embed\n"
        "    from evc_jax.data.prepare.builder import prepare\n"
        f"    prepare('ravdess', {str(tmp_path / 'corpus')!r}, {str(tmp_path / 'out')!r}, embedder=embed, workers=1)\n"
    )
    run = subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    if not children.exists():
        pytest.skip("needs /proc to find the workers")
    wait_until(lambda: list((tmp_path / "out").glob(".prepare-*/features/*.npz")))
    workers = children.read_text().split()
    run.kill()
    run.communicate()
    assert workers
    wait_until(lambda: not any(is_running(pid) for pid in workers))


def is_running(pid: str) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_failed_move_puts_the_old_dataset_back(tmp_path):
    target, old = epath.Path(tmp_path / "target"), epath.Path(tmp_path / "old")
    (tmp_path / "target").mkdir()
    (tmp_path / "target/kept").touch()
    with pytest.raises(OSError):
        storage.put_in_place(epath.Path(tmp_path / "absent"), target, old, "metadata.json")
    assert (target / "kept").exists()
    # Killed between the two renames.
    target.rename(old)
    storage.undo_interrupted_move(target, old)
    assert (target / "kept").exists() and not old.exists()


def test_several_datasets_read_as_one(prepared, tmp_path):
    out, _ = prepared
    write_buzz(tmp_path / "mine/anna/happy/1.wav")
    prepare("folder", tmp_path / "mine", out, dataset_name="mine", embedder=embed, workers=1, progress=False)
    source = open_split(out, "ravdess,mine", "train", fields=("speaker", "emotion"))
    assert len(source) == 9
    assert source[8] == source[-1] == {"speaker": "mine-anna", "emotion": "happy"}
    assert source[0]["speaker"].startswith("ravdess-")
    assert open_speakers(out, ["ravdess", "mine"], "train").names[-1] == "mine-anna"
    with pytest.raises(IndexError):
        source[9]


def test_cached_records_equal_read_ones(prepared):
    out, _ = prepared
    cached, read = (open_split(out, "ravdess", "train", cache_bytes=size) for size in (1 << 30, 0))
    for _ in range(2):
        for a, b in zip(cached, read, strict=True):
            np.testing.assert_array_equal(a["mel"], b["mel"])
    assert cached[0]["mel"] is cached[0]["mel"] and read[0]["mel"] is not read[0]["mel"]


def test_refusals(prepared, tmp_path, monkeypatch):
    out, _ = prepared
    with pytest.raises(DataError, match=r"no dataset 'vctk' in .* \(there: .*ravdess.*\); make it with `evc prepare`"):
        open_split(out, "vctk", "train")
    with pytest.raises(DataError, match="has no dev split; it has train, validation, test"):
        open_split(out, "ravdess", "dev")
    with pytest.raises(DataError, match="has no field melt; it has audio"):
        open_split(out, "ravdess", "train", fields=("melt",))
    with pytest.raises(DataError, match="name one or more different ones"):
        open_split(out, "ravdess,ravdess", "train")
    with pytest.raises(DataError, match="No speaker of ravdess is in the dev split"):
        open_speakers(out, "ravdess", "dev")
    with pytest.raises(DataError, match="'a/b' is not usable; use letters"):
        prepare("ravdess", tmp_path, tmp_path, dataset_name="a/b")
    with pytest.raises(DataError, match="'--region=R' are given without a Beam runner; name one"):
        make(write_ravdess(tmp_path / "corpus", actors=1), tmp_path / "out", beam_options="--region=R")
    (tmp_path / "file").touch()
    with pytest.raises(
        DataError, match=r"/file/\.prepare-ravdess/features cannot be written \(Not a directory\); make"
    ):
        make(tmp_path / "corpus", tmp_path / "file")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match=r"s3://b/data needs a package that is not there \(Install s3fs"):
        prepare("ravdess", tmp_path, "s3://b/data")
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "evc_jax.data.prepare.beam_runner", raising=False)
    with pytest.raises(DataError, match=r"DirectRunner needs Apache Beam .*; pip install 'evc_jax\[beam\]'"):
        prepare("ravdess", tmp_path / "corpus", tmp_path / "out", runner="DirectRunner")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_digest_of_the_content_does_not_depend_on_the_place(corpus, prepared, tmp_path):
    out, _ = prepared
    digest = dataset_info(out, "ravdess")["digest"]
    copy = shutil.copytree(corpus, tmp_path / "copy")
    make(copy, tmp_path / "out")
    assert dataset_info(tmp_path / "out", "ravdess")["digest"] == digest
    write_buzz(copy / "Actor_01/03-01-01-01-01-01-01.wav", 300.0)
    make(copy, tmp_path / "out")
    corrected = dataset_info(tmp_path / "out", "ravdess")["digest"]
    (copy / "Actor_01/03-01-01-01-01-01-01.wav").unlink()
    make(copy, tmp_path / "out")
    assert len({digest, corrected, dataset_info(tmp_path / "out", "ravdess")["digest"]}) == 3


def test_names_that_are_not_utf8_and_what_is_passed_over(tmp_path):
    root, out = tmp_path / "corpus", tmp_path / os.fsdecode(b"out\xff")
    write_buzz(root / os.fsdecode(b"J\xf6rg/happy/\xe9t\xe9.wav"))
    write_buzz(root / os.fsdecode(b"J\xf6rg/happy/\xe8t\xe8.wav"))
    write_buzz(root / "anna/sad/1.aiff")
    (root / "anna/sad/2.wav").write_text("no audio")
    touch(root, "anna/sad/2.aax", "anna/3.wav")
    listing = list_corpus("folder", root, "folder")
    names = sorted(u.utterance_id for u in listing.utterances)
    assert len(set(names)) == 4 and all(name.encode() for name in names)
    with pytest.raises(DataError, match="1 of the 4 recordings in .* cannot be used"):
        prepare("folder", root, out, embedder=embed, workers=1, progress=False)
    (root / "anna/sad/2.wav").unlink()
    report = prepare("folder", root, out, embedder=embed, workers=1, progress=False)
    assert sum(report.counts.values()) == 3 and not report.failures
    lines = str(report).splitlines()
    assert lines[0].endswith("0 unusable -> " + printable(report.path)) and lines[0].encode()
    assert lines[1:3] == [
        "  passed over: 1 (format that is not read: anna/sad/2.aax)",
        "  passed over: 1 (not in the layout: anna/3.wav)",
    ]
    assert lines[3].startswith("  2 speakers are too few to hold some out: 1 utterance is the validation split and 1 ")
    assert dataset_info(out, "folder")["split_by"] == "utterance"
    records = [record for split in report.counts for record in open_split(out, "folder", split)]
    (speaker,) = {record["speaker"] for record in records} - {"folder-anna"}
    assert speaker.startswith("folder-J\ufffdrg-")
    assert sorted(record["utterance_id"] for record in records) == [name for name in names if name != "anna/sad/2"]


def test_a_full_disk_is_named_and_no_unfinished_file_stays(tmp_path, monkeypatch):
    class FullDisk(ArrayRecordWriter):
        def close(self):
            raise RuntimeError("write() failed: No space left on device; writing /somewhere")

    write_ravdess(tmp_path / "corpus", actors=1)
    listing = list_corpus("ravdess", tmp_path / "corpus", "ravdess")
    with monkeypatch.context() as patch:
        patch.setattr(tfds_writer.array_record_module, "ArrayRecordWriter", FullDisk)
        # In this process, where the writer can be replaced.
        patch.setattr(local_runner.concurrent.futures, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
        message = (
            r"/out cannot be written \(write\(\) failed: No space left on device\); make room .* finished is kept\.$"
        )
        with pytest.raises(DataError, match=message):
            make(tmp_path / "corpus", tmp_path / "out")
    assert listing.utterances and not list((tmp_path / "out").rglob("new-*/*"))
    assert make(tmp_path / "corpus", tmp_path / "out").found == 4


def test_temporary_files_that_cannot_be_written_are_not_blamed_on_recordings(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    message = r"^No temporary file can be written \(.*gone.*\); set TMPDIR to a folder\.$"
    with pytest.raises(DataError, match=message), storage.atomic_file("gs://bucket/file"):
        pass
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    message = "^The folder of temporary files, .* is full; set TMPDIR to another"
    with pytest.raises(DataError, match=message), storage.temporary_folder():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_datasets_and_corpora_without_permission(prepared, tmp_path, unprivileged):
    out, _ = prepared
    with pytest.raises(DataError, match=r"^Dataset ravdess in .* cannot be read \(no permission\); make it readable"):
        dataset_info(out, "ravdess")
    with pytest.raises(DataError, match=r"cannot be read \(no permission\); make it readable\.$"):
        read_corpus("ravdess", tmp_path / "corpus")


@pytest.fixture
def unprivileged(prepared, tmp_path):
    """Nobody may read the dataset and `tmp_path`, and we are not root."""
    folders = [prepared[0] / "speech/ravdess", tmp_path]
    for folder in folders:
        folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)
    for folder in folders:
        folder.chmod(0o755)


def test_different_audio_settings_do_not_mix(tmp_path):
    for name, hop in (("a", 256), ("b", 200)):
        folder = tmp_path / "speech" / name / "1.0.0"
        folder.mkdir(parents=True)
        (folder / "metadata.json").write_text(json.dumps({"audio": {"hop_samples": hop}}))
    with pytest.raises(DataError, match=r"a and b were extracted with different audio settings \(hop_samples\)"):
        audio_config(tmp_path, "a,b")


def test_real_recordings_with_the_real_embedder(data_dir, tmp_path):
    root = tmp_path / "emodb/wav"
    root.mkdir(parents=True)
    for name in ("03a01Fa.flac", "08a02Na.flac"):
        (root / name).symlink_to(data_dir / "emodb/wav" / name)
    report = prepare("emodb", tmp_path / "emodb", tmp_path / "out", workers=1, progress=False)
    assert report.counts == {"train": 2} and not report.failures
    table = open_speakers(tmp_path / "out", "emodb", "train")
    np.testing.assert_allclose(np.linalg.norm(table.embeddings, axis=1), 1, atol=1e-5)
    assert (table.embeddings >= 0).all()
