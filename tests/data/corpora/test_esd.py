"""ESD as released, and in the copies without train, evaluation and test."""

import pytest
from support.tiny_corpora import touch, write_files

from evc_jax.data.corpora import read_corpus
from evc_jax.data.prepare.splits import assign_splits
from evc_jax.errors import DataError

MANDARIN = (
    "0001_000001\t打远一看，它们的确很是美丽，\t中立\n"
    "0001_000351\t打远一看，它们的确很是美丽，\t生气\n"
    "0001_000701 打远一看，它们的确很是美丽， 快乐\n"
    "0001_001051\t打远一看，它们的确很是美丽，\t伤心\n"
    "0001_001401\t打远一看，它们的确很是美丽，\t惊喜\n\n"
)
ENGLISH = (
    "0016_000001\tThe nine the eggs, I keep.\tNeutral\n"
    "0016_000002 He said “I’m happy” and left. Neutral\n"
    "0016_000003 It is what makes me happy\tNeutral\n"
    "0016_000351\tThe nine the eggs, I keep.\tAngry\r\n"
)
FOLDERS = {"Neutral": 1, "Angry": 351, "Happy": 701, "Sad": 1051, "Surprise": 1401}


@pytest.fixture
def esd(tmp_path):
    root = tmp_path / "Emotional Speech Dataset (ESD)" / "Emotion Speech Dataset"
    for emotion, first in FOLDERS.items():
        for speaker in ("0001", "0016"):
            names = [f"{speaker}_{first + i:06d}.wav" for i in range(3)]
            parts = zip(("train", "evaluation", "test"), names, strict=True)
            touch(root, *(f"{speaker}/{emotion}/{part}/{name}" for part, name in parts))
    touch(root, "ReadMe.txt", "0001/.DS_Store", "0001/Angry/train/._0001_000351.wav")
    return write_files(root, {"0001/0001.txt": MANDARIN.encode("gb18030"), "0016/0016.txt": ENGLISH})


def by_id(root):
    return {recording.utterance_id: recording for recording in read_corpus("esd", root)}


def test_folders_tell_emotion_and_split(esd):
    recordings = by_id(esd.parents[1])
    assert len(recordings) == 30
    emotions = {r.corpus_emotion: r.emotion for r in recordings.values()}
    assert emotions == {
        "Neutral": "neutral",
        "Angry": "angry",
        "Happy": "happy",
        "Sad": "sad",
        "Surprise": "surprised",
    }
    splits = [recordings[f"0016/0016_{number:06d}"].split for number in (351, 352, 353)]
    assert splits == ["train", "validation", "test"]
    found = list(recordings.values())
    assert assign_splits(found).recordings == found


def test_numbers_tell_the_sentence(esd):
    recordings = by_id(esd)
    parallel = {recordings[f"0001/0001_{first:06d}"].text_id for first in FOLDERS.values()}
    assert parallel == {"esd-zh-001"}
    assert recordings["0016/0016_000351"].text_id == "esd-en-001"
    assert recordings["0016/0016_001403"].text_id == "esd-en-003"


def test_last_sentence_of_an_emotion(tmp_path):
    touch(tmp_path, "0020/Neutral/0020_000350.wav", "0020/Surprise/0020_001750.wav")
    neutral, surprised = read_corpus("esd", write_files(tmp_path, {"0020/0020.txt": ""}))
    assert neutral.text_id == surprised.text_id == "esd-en-350"
    assert (neutral.text, neutral.split, neutral.sex) == ("", None, "male")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_mandarin_texts_in_every_encoding(esd, encoding):
    write_files(esd, {"0001/0001.txt": MANDARIN.encode(encoding)})
    recordings = by_id(esd)
    assert {recordings[f"0001/0001_{first:06d}"].text for first in FOLDERS.values()} == {"打远一看，它们的确很是美丽，"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030", "cp1252"])
def test_english_texts_in_every_encoding(esd, encoding):
    write_files(esd, {"0016/0016.txt": ENGLISH.encode(encoding)})
    recordings = by_id(esd)
    texts = [recordings[f"0016/0016_{number:06d}"].text for number in (1, 2, 3, 351)]
    assert texts == [
        "The nine the eggs, I keep.",
        "He said “I’m happy” and left.",
        "It is what makes me happy",
        "The nine the eggs, I keep.",
    ]


def test_windows_apostrophes_that_would_be_gb_ideographs(esd):
    data = "0016_000001\tIt’s Tom’s answer.\tNeutral\n".encode("cp1252")
    assert "’" not in data.decode("gb18030")
    assert by_id(write_files(esd, {"0016/0016.txt": data}))["0016/0016_000001"].text == "It’s Tom’s answer."


def test_sexes_are_those_published(tmp_path):
    for number in range(1, 21):
        speaker = f"{number:04d}"
        touch(tmp_path, f"{speaker}/Sad/{speaker}_001051.wav", f"{speaker}/{speaker}.txt")
    men = [int(r.speaker[-4:]) for r in read_corpus("esd", tmp_path) if r.sex == "male"]
    assert men == [4, 5, 6, 8, 10, 11, 12, 13, 14, 20]


def test_a_missing_text_file_is_named(esd):
    (esd / "0016/0016.txt").unlink()
    with pytest.raises(DataError, match="0016/0016.txt is missing, without which esd .*HLTSingapore"):
        read_corpus("esd", esd)
