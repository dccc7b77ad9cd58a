from collections import Counter
from pathlib import Path

import pytest

from evc_jax.data.corpora import Recording, read_corpus
from evc_jax.data.prepare import splits
from evc_jax.data.prepare.splits import SplitRules
from evc_jax.errors import DataError


def recordings(**speakers):
    """`recordings(anna="female", ben="male/train")`: three utterances each, with sex and given split."""
    result = []
    for name, label in speakers.items():
        sex, _, split = label.partition("/")
        for i in range(3):
            result.append(Recording(Path(f"{name}{i}"), f"{name}/{i}", name, sex, split=split or None))
    return result


def assign_splits(corpus, **rules):
    return splits.assign_splits(corpus, SplitRules(**rules)).recordings


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
    assigned = assign_splits(recordings(m0="male", m1="male", f0="female", f1="female", x="unknown"))
    assert [len(speakers_of(assigned, split)) for split in ("train", "validation", "test")] == [3, 1, 1]


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


def acted(speakers, emotions=("happy", "neutral", "sad"), takes=4):
    return [
        Recording(Path(f"/corpus/{s}/{e}/{i}.wav"), f"{s}/{e}/{i}", f"mine-{s}", emotion=e)
        for s in speakers
        for e in emotions
        for i in range(takes)
    ]


def test_of_few_speakers_utterances_are_held_out_with_their_emotions_in_turns():
    found = splits.assign_splits(acted("abc"))
    assert found.by == "utterance"
    sentence = "3 speakers are too few to hold some out: 2 utterances of each are the validation split and 2 utterances"
    assert found.notes == (f"{sentence} of each are the test split.",)
    for split in ("validation", "test"):
        for speaker in ("mine-a", "mine-b", "mine-c"):
            held_out = [r for r in found.recordings if r.split == split and r.speaker == speaker]
            assert len({recording.emotion for recording in held_out}) == len(held_out) == 2
            assert "neutral" in {recording.emotion for recording in held_out}


def test_speakers_with_two_utterances_have_some_held_out_of_all_together():
    found = splits.assign_splits(acted("abcd", ("sad",), 2))
    assert Counter(recording.split for recording in found.recordings) == {"train": 4, "validation": 2, "test": 2}
    assert found.notes[0].startswith(
        "4 speakers are too few to hold some out: 2 utterances are the validation split and"
    )


def test_five_speakers_are_enough_and_four_are_not():
    assert splits.assign_splits(acted("abcde")).by == "speaker"
    assert splits.assign_splits(acted("abcd")).by == "utterance"


def test_a_speaker_with_two_utterances_only_trains_and_that_is_said():
    found = splits.assign_splits(acted("a", ("sad",), 2))
    assert {recording.split for recording in found.recordings} == {"train"}
    assert found.notes == ("1 speaker is too few to hold some out: there are too few utterances, too: all train.",)


def test_shares_are_of_speakers_or_of_each_ones_utterances():
    many = recordings(**{f"s{i}": "unknown" for i in range(20)})
    assigned = assign_splits(many, validation_share=0.2, test_share=0.05)
    assert [len(speakers_of(assigned, split)) for split in ("train", "validation", "test")] == [15, 4, 1]
    few = assign_splits(acted("ab", takes=10), validation_share=0.2, test_share=0)
    assert Counter(recording.split for recording in few) == {"train": 48, "validation": 12}
    assert {recording.split for recording in assign_splits(many, validation_share=0, test_share=0)} == {"train"}
    for shares in ((0.5, 0.5), (-0.1, 0.1), (1, 0)):
        with pytest.raises(DataError, match="The shares of validation and test are .*; expected 0 or more"):
            SplitRules(*shares)


def test_shares_do_not_move_splits_that_the_corpus_gives():
    given = [*recordings(**{f"a{i}": "female/train" for i in range(6)}, z="female/test")]
    found = splits.assign_splits(given, SplitRules(test_share=0.3))
    assert speakers_of(found.recordings, "test") == {"z"} and found.by == "speaker"
    assert found.notes == ("the test split is the corpus's own, whatever share was asked for.",)


@pytest.mark.parametrize(
    "rows, expected",
    [
        (["speaker,split", "b,validation", "mine-c,test"], {"a": "train", "b": "validation", "c": "test"}),
        (["split,speaker", "train,a", "validation,b", "test,c"], {"a": "train", "b": "validation", "c": "test"}),
        (["path,split", "a/sad/0.wav,test", "/corpus/b/sad/0.wav,validation", "c/sad/0,train"], None),
    ],
)
def test_a_file_decides(rows, expected, tmp_path):
    (tmp_path / "splits.csv").write_text("\n".join(rows))
    rules = SplitRules(file=tmp_path / "splits.csv")
    found = splits.assign_splits(acted("abc", ("sad",)), rules, Path("/corpus"))
    assert found.by == "file"
    if expected:
        assert {recording.speaker[-1]: recording.split for recording in found.recordings} == expected
    else:
        assert Counter(r.split for r in found.recordings) == {"train": 10, "validation": 1, "test": 1}
    assert (
        bool(found.notes) == any("12 recordings are not in" in note for note in found.notes) == ("train,a" not in rows)
    )


@pytest.mark.parametrize(
    "rows, sentence",
    [
        (
            ["speaker,split", "a,test", "b,dev"],
            "splits.csv, line 3: the split is 'dev'; expected one of train, val",
        ),
        (["speaker,split", "anna,test"], "line 2: the corpus has no speaker 'anna'; it has, for one, 'a'."),
        (["path,split", "a/x.wav,test"], "line 2: the corpus has no path 'a/x.wav'; it has, for one, 'a/sad/0'."),
        (["speaker,split", "a,test", "", "mine-a,train"], "line 4: 'mine-a' is in line 2 already, as test; remove one"),
        (["speaker,path,split", "a,b,test"], "line 1: there is both path and speaker; expected the columns"),
        (["name,split", "a,test"], "line 1: there is neither path nor speaker; expected the columns"),
        (["speaker,set", "a,test"], "splits.csv has no column split; expected the columns path or speaker, and split."),
        (["speaker,split"], "splits.csv has no rows; expected the columns"),
        (["speaker,split", "a,test,b"], "line 2: 3 fields where there are 2 columns"),
        (["speaker,split", '"a,test'], "line 2: a quotation mark is not closed"),
        (None, "There is no file .*splits.csv; give a CSV with the columns"),
    ],
)
def test_every_mistake_of_a_file_is_one_sentence(rows, sentence, tmp_path):
    file = tmp_path / "splits.csv"
    if rows:
        file.write_text("\n".join(rows))
    with pytest.raises(DataError, match=sentence) as caught:
        splits.assign_splits(acted("abc", ("sad",)), SplitRules(file=file), Path("/corpus"))
    assert "\n" not in str(caught.value)


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
