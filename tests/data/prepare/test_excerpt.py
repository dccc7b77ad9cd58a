"""Excerpts of a corpus: how long, how evenly spread, and how much is read for them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.tiny_corpora import contents, embed, write_buzz, write_ravdess

from evc_jax.data.corpora import Recording
from evc_jax.data.dataset import dataset_info, open_split
from evc_jax.data.prepare import excerpt
from evc_jax.data.prepare.builder import prepare
from evc_jax.data.prepare.excerpt import take_excerpt
from evc_jax.errors import DataError

RATE_HZ = 16000
EMOTIONS = ("neutral", "happy", "sad", "angry")


@pytest.fixture
def lengths(monkeypatch):
    """Sets the lengths of recordings that exist in name only; what is asked for, and how often."""
    asked = Counter()

    def stated_length(path):
        asked[str(path)] += 1
        return round(float(Path(path).suffix[1:]) / 1000 * 44100), 44100

    monkeypatch.setattr(excerpt, "stated_length", stated_length)
    return asked


def corpus(speakers: int, per_cell: int, splits=None) -> list[Recording]:
    """Speakers with `per_cell` recordings of each emotion, of 1 to 5 s, four fifths of them train."""
    generator = np.random.default_rng(0)
    splits = splits or ["train"] * 8 + ["validation", "test"]
    return [
        Recording(
            Path(f"{name}.{generator.integers(1000, 5000)}"), name, f"s{s}", emotion=emotion, split=splits[s % 10]
        )
        for s in range(speakers)
        for emotion in EMOTIONS
        for i in range(per_cell)
        for name in [f"s{s:03d}-{emotion}-{i}"]
    ]


def seconds(recordings) -> float:
    return sum(float(recording.path.suffix[1:]) / 1000 for recording in recordings)


@pytest.mark.parametrize("max_seconds", [5.0, 60.0, 601.7, 2400.0, 4000.0])
def test_never_above_the_limit_and_little_below(lengths, max_seconds):
    recordings = corpus(speakers=40, per_cell=10)
    taken = take_excerpt(recordings, max_seconds, RATE_HZ)
    # No recording is shorter than a second.
    assert max_seconds - 1.1 < seconds(taken) <= max_seconds
    assert taken == [recording for recording in recordings if recording in taken]
    assert sorted(r.utterance_id for r in take_excerpt(recordings[::-1], max_seconds, RATE_HZ)) == sorted(
        r.utterance_id for r in taken
    )


def test_spread_over_splits_speakers_and_emotions(lengths):
    recordings = corpus(speakers=40, per_cell=10)
    taken = take_excerpt(recordings, 1440.0, RATE_HZ)  # some 480 of 1600: three of each cell
    shares = Counter(recording.split for recording in taken)
    assert shares["train"] / len(taken) == pytest.approx(0.8, abs=0.02)
    assert shares["validation"] / len(taken) == pytest.approx(0.1, abs=0.02)
    cells = Counter((recording.speaker, recording.emotion) for recording in taken)
    assert len(cells) == 160 and max(cells.values()) - min(cells.values()) <= 2
    # One for each speaker at least, where not all emotions of each fit, and all emotions nevertheless.
    taken = take_excerpt(recordings, 180.0, RATE_HZ)
    assert len({recording.speaker for recording in taken}) == 40
    emotions = Counter(recording.emotion for recording in taken)
    assert set(emotions) == set(EMOTIONS) and max(emotions.values()) < 2 * min(emotions.values())
    assert {recording.split for recording in take_excerpt(recordings, 16.0, RATE_HZ)} == {"train", "validation", "test"}


def test_a_rare_emotion_and_a_quiet_speaker_are_in_it(lengths):
    recordings = corpus(speakers=10, per_cell=20)
    recordings += [Recording(Path("x.1000"), "x", "s1", emotion="bored", split="train")]
    recordings += [Recording(Path("y.1000"), "y", "rare", emotion="sad", split="train")]
    taken = take_excerpt(recordings, 90.0, RATE_HZ)
    assert {"x", "y"} <= {recording.utterance_id for recording in taken}


def test_a_corpus_that_is_shorter_than_the_limit_is_taken_whole(lengths):
    recordings = corpus(speakers=20, per_cell=3, splits=["train"] * 3 + ["validation"] * 7)
    assert take_excerpt(recordings, seconds(recordings) + 0.1, RATE_HZ) == recordings
    assert len(take_excerpt(recordings, seconds(recordings) - 0.1, RATE_HZ)) == len(recordings) - 1


def test_reads_as_many_headers_as_it_takes(lengths):
    recordings = corpus(speakers=500, per_cell=10)
    taken = take_excerpt(recordings, 300.0, RATE_HZ)
    assert set(lengths.values()) == {1} and len(lengths) <= len(taken) + 2 * 256 + excerpt.MAX_MISSES < 1000


@pytest.mark.parametrize("value", [0, -3, float("nan"), float("inf")])
def test_a_limit_that_cannot_be(value):
    with pytest.raises(DataError, match=r"^max_seconds is .*; give a positive number\.$"):
        take_excerpt([], value, RATE_HZ)


def test_prepared_excerpts(tmp_path):
    root, out = write_ravdess(tmp_path / "corpus"), tmp_path / "out"
    (root / "Actor_03/03-01-08-01-01-01-03.wav").write_text("no audio")
    lines: list[str] = []

    def make(out, max_seconds):
        options = {"embedder": embed, "workers": 1, "progress": False, "log": lines.append}
        return prepare("ravdess", root, out, max_seconds=max_seconds, **options)

    with pytest.raises(
        DataError, match=r"^No recording fits into 0\.3 s \(1 cannot be opened\); allow more seconds\.$"
    ):
        make(out, 0.3)
    report = make(out, 8.0)
    info = dataset_info(out, "ravdess")
    assert (
        info["max_seconds"] == 8.0 and info["speakers"] == 6 and set(report.counts) == {"train", "validation", "test"}
    )
    records = [record for split in report.counts for record in open_split(out, "ravdess", split)]
    assert 7 < sum(len(record["audio"]) for record in records) / RATE_HZ <= 8
    (line,) = lines
    assert line.startswith(f"{len(records)} of 25 recordings, ") and line.endswith("the excerpt; 1 cannot be opened.")
    assert not report.failures
    # Another limit in the same folder gives what it gives in an empty one.
    make(out, 6.0)
    make(tmp_path / "clean", 6.0)
    assert contents(out) == contents(tmp_path / "clean")


@pytest.mark.filterwarnings("ignore::evc_jax.errors.AudioWarning")
def test_lengths_as_the_files_have_them(tmp_path):
    paths = [write_buzz(tmp_path / f"{i}.wav", duration_s=1.0) for i in range(3)]
    data = bytearray(paths[0].read_bytes())
    data[40:44] = bytes(4)  # a recorder that crashed
    paths[0].write_bytes(data)
    paths[1].write_text("no audio")
    recordings = [Recording(path, path.stem, "s", split="train") for path in [*paths, tmp_path / "gone.wav"]]
    assert [excerpt._samples(recording, RATE_HZ) for recording in recordings] == [RATE_HZ, 0, RATE_HZ, 0]
    assert excerpt._samples(recordings[2], 22050) == 22050
