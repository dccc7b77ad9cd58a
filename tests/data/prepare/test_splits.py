from collections import Counter
from pathlib import Path

import pytest

from evc_jax.data.corpora import Recording, read_corpus
from evc_jax.data.prepare.splits import assign_splits


def recordings(**speakers):
    """`recordings(anna="female", ben="male/train")`: three utterances each, with sex and given split."""
    result = []
    for name, label in speakers.items():
        sex, _, split = label.partition("/")
        for i in range(3):
            result.append(Recording(Path(f"{name}{i}"), f"{name}/{i}", name, sex, split=split or None))
    return result


def speakers_of(assigned, split):
    return {recording.speaker for recording in assigned if recording.split == split}


def test_three_speakers_per_sex_give_one_for_each_split():
    corpus = recordings(**{f"m{i}": "male" for i in range(3)}, **{f"f{i}": "female" for i in range(3)})
    assigned = assign_splits(corpus)
    for split in ("train", "validation", "test"):
        assert Counter(name[0] for name in speakers_of(assigned, split)) == {"m": 1, "f": 1}
    assert [recording.utterance_id for recording in assigned] == [recording.utterance_id for recording in corpus]
    again = {recording.utterance_id: recording.split for recording in assign_splits(corpus[::-1])}
    assert again == {recording.utterance_id: recording.split for recording in assigned}


def test_a_tenth_of_the_speakers_is_held_out():
    assigned = assign_splits(recordings(**{f"s{i}": "unknown" for i in range(40)}))
    sizes = [len(speakers_of(assigned, split)) for split in ("train", "validation", "test")]
    assert sizes == [32, 4, 4]


def test_a_rare_sex_trains_only():
    assigned = assign_splits(recordings(m0="male", m1="male", f0="female", f1="female", f2="female"))
    assert {"m0", "m1"} < speakers_of(assigned, "train")


def test_sexes_are_not_separated_when_both_are_rare():
    assigned = assign_splits(recordings(m0="male", m1="male", f0="female"))
    assert [len(speakers_of(assigned, split)) for split in ("train", "validation", "test")] == [1, 1, 1]


def test_given_splits_are_kept():
    given = recordings(**{f"a{i}": "female/train" for i in range(5)}, z="female/test")
    assigned = assign_splits(given)
    assert speakers_of(assigned, "test") == {"z"}
    assert len(speakers_of(assigned, "validation")) == 1
    assert len(speakers_of(assigned, "train")) == 4
    complete = recordings(a="male/train", b="male/validation", c="male/test")
    assert assign_splits(complete) == complete


def test_a_lone_speaker_is_split_by_utterance():
    lone = [Recording(Path(f"{i}"), f"{i}", "anna") for i in range(50)]
    assert Counter(recording.split for recording in assign_splits(lone)) == {"train": 40, "validation": 5, "test": 5}
    assert {recording.split for recording in assign_splits(lone[:2])} == {"train"}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("ravdess", {"train": (9, 9), "validation": (1, 1), "test": (1, 1)}),
        ("emodb", {"train": (2, 2), "validation": (1, 1), "test": (1, 1)}),
        ("librispeech", {"train": (113, 113), "validation": (13, 12), "test": (5, 3)}),
    ],
)
def test_real_corpora_are_split_by_speaker(data_dir, name, counts):
    assigned = assign_splits(read_corpus(name, data_dir / name))
    sexes = {recording.speaker: recording.sex for recording in assigned}
    found = {split: Counter(sexes[speaker] for speaker in speakers_of(assigned, split)) for split in counts}
    assert {split: (found[split]["male"], found[split]["female"]) for split in counts} == counts
    assert sum(len(speakers_of(assigned, split)) for split in counts) == len(sexes)
