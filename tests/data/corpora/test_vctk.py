"""VCTK in the layouts of its releases 0.92 and 0.80."""

import pytest
from support.tiny_corpora import touch, write_files

from evc_jax.data.corpora import read_corpus
from evc_jax.errors import DataError

SPEAKER_INFO = (
    "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
    "p225  23  F    English    Southern  England\n"
    "p226  22  M    English    Surrey\n"
    "p248  23  F    Indian  \n"
    "p280  25  F    Unknown  France (mic2 files unavailable)\n"
    "p315  18  M    American  New  England (Text and mic2 files unavailable)\n"
    "p362  29  F    American\n"
    "s5  22  F    British  \n"
)


def both_microphones(*utterances):
    return [f"wav48_silence_trimmed/{name.split('_')[0]}/{name}_mic{mic}.flac" for name in utterances for mic in (1, 2)]


@pytest.fixture
def vctk(tmp_path):
    root = tmp_path / "VCTK-Corpus-0.92"
    touch(
        root,
        *both_microphones("p225_001", "p225_002", "p226_001", "p362_400", "s5_001"),
        "wav48_silence_trimmed/p280/p280_001_mic1.flac",
        "wav48_silence_trimmed/p315/p315_001_mic1.flac",
        "wav48_silence_trimmed/p226/p226_369_mic1.flac",
        "wav48_silence_trimmed/log.txt",
        "wav48_silence_trimmed/p225/._p225_001_mic2.flac",
        "README.txt",
        "license_text",
        "update.txt",
    )
    write_files(
        root,
        {
            "speaker-info.txt": SPEAKER_INFO,
            "txt/p225/p225_001.txt": "Please call Stella.\n",
            "txt/p225/p225_002.txt": "Ask her to bring these things with her from the store.\n",
            "txt/p226/p226_001.txt": "Please call Stella. \n",
            "txt/p226/p226_369.txt": "It's the law.\n",
            "txt/p280/p280_001.txt": "Please call Stella.\n",
            "txt/p362/p362_400.txt": "Its the law.\n",
            "txt/p362/p362_401.txt": "A text whose recording is missing.\n",
            "txt/s5/s5_001.txt": "Please call Stella.\n",
        },
    )
    return tmp_path


def by_id(root):
    return {recording.utterance_id: recording for recording in read_corpus("vctk", root)}


def test_two_microphones_are_one_utterance(vctk):
    recordings = by_id(vctk)
    assert list(recordings) == [
        "p225/p225_001",
        "p225/p225_002",
        "p226/p226_001",
        "p226/p226_369",
        "p280/p280_001",
        "p315/p315_001",
        "p362/p362_400",
        "s5/s5_001",
    ]
    names = {key: recording.path.name for key, recording in recordings.items()}
    assert names["p225/p225_001"] == "p225_001_mic2.flac"
    assert names["p226/p226_369"] == "p226_369_mic1.flac"
    assert (names["p280/p280_001"], names["p315/p315_001"]) == ("p280_001_mic1.flac", "p315_001_mic1.flac")


def test_sexes_come_from_a_table_of_irregular_columns(vctk):
    sexes = {recording.speaker: recording.sex for recording in by_id(vctk).values()}
    assert sexes == {
        "vctk-p225": "female",
        "vctk-p226": "male",
        "vctk-p280": "female",
        "vctk-p315": "male",
        "vctk-p362": "female",
        "vctk-s5": "female",
    }


def test_sentences_are_parallel_by_their_words(vctk):
    recordings = by_id(vctk)
    stella = {recordings[key].text_id for key in ("p225/p225_001", "p226/p226_001", "p280/p280_001", "s5/s5_001")}
    assert stella == {"vctk-please call stella"}
    assert recordings["p226/p226_001"].text == "Please call Stella."
    assert (recordings["p315/p315_001"].text, recordings["p315/p315_001"].text_id) == ("", "")
    assert recordings["p226/p226_369"].text_id != recordings["p362/p362_400"].text_id
    assert {(r.emotion, r.split) for r in recordings.values()} == {("unknown", None)}


def test_release_0_80(tmp_path):
    root = tmp_path / "VCTK-Corpus"
    touch(root, "wav48/p225/p225_001.wav", "wav48/p376/p376_295.raw", "wav48/p376/p376_296.wav")
    write_files(
        root,
        {
            "speaker-info.txt": "ID  AGE  GENDER  ACCENTS  REGION  \n225  23  F    English    Southern  England\n"
            "376  22  M    Indian\n",
            "txt/p225/p225_001.txt": "Please call Stella.",
        },
    )
    first, second = read_corpus("vctk", root)
    assert (first.path.name, first.speaker, first.sex) == ("p225_001.wav", "vctk-p225", "female")
    assert (second.utterance_id, second.sex) == ("p376/p376_296", "male")


def test_missing_files_are_named(tmp_path, vctk):
    with pytest.raises(DataError, match="speaker-info.txt is missing, without which vctk .*datashare.ed.ac.uk"):
        read_corpus("vctk", touch(tmp_path / "other", "wav48/p225/p225_001.wav"))
    with pytest.raises(DataError, match=r"wav48_silence_trimmed \(or wav48\) is missing"):
        read_corpus("vctk", write_files(tmp_path / "text", {"speaker-info.txt": SPEAKER_INFO}))
