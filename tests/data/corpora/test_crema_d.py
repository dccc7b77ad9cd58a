"""CREMA-D as its repository is cloned."""

import pytest
from support.tiny_corpora import touch, write_files

from evc_jax.data.corpora import read_corpus
from evc_jax.errors import DataError

DEMOGRAPHICS = (
    '"ActorID","Age","Sex","Race","Ethnicity"\n'
    '1001,51,"Male","Caucasian","Not Hispanic"\n'
    '1002,21,"Female","Caucasian","Not Hispanic"\n'
    '1040,42,"Male","Caucasian","Not Hispanic"\n'
)


@pytest.fixture
def crema_d(tmp_path):
    names = ["1001_DFA_ANG_XX", "1001_IEO_FEA_HI", "1002_DFA_DIS_XX", "1002_IEO_HAP_LO", "1002_TIE_NEU_XX"]
    names += ["1040_ITH_SAD_X"]
    touch(tmp_path, *(f"AudioWAV/{name}.wav" for name in names), *(f"AudioMP3/{name}.mp3" for name in names))
    touch(tmp_path, "VideoFlash/1001_DFA_ANG_XX.flv", "processedResults/summaryTable.csv", "SentenceFilenames.csv")
    return write_files(tmp_path, {"VideoDemographics.csv": DEMOGRAPHICS})


def test_names_tell_emotion_strength_and_sentence(crema_d):
    recordings = read_corpus("crema_d", crema_d)
    assert [(r.speaker, r.sex, r.emotion, r.corpus_emotion) for r in recordings] == [
        ("crema_d-1001", "male", "angry", "ANG-XX"),
        ("crema_d-1001", "male", "fearful", "FEA-HI"),
        ("crema_d-1002", "female", "disgust", "DIS-XX"),
        ("crema_d-1002", "female", "happy", "HAP-LO"),
        ("crema_d-1002", "female", "neutral", "NEU-XX"),
        ("crema_d-1040", "male", "sad", "SAD-XX"),
    ]
    assert (recordings[0].text, recordings[0].text_id) == ("Don't forget a jacket.", "crema_d-DFA")
    assert recordings[0].text_id == recordings[2].text_id != recordings[1].text_id
    assert all(recording.text for recording in recordings)
    assert recordings[5].utterance_id == "1040_ITH_SAD_X"


def test_wav_is_read_before_mp3(crema_d):
    assert {recording.path.parent.name for recording in read_corpus("crema_d", crema_d)} == {"AudioWAV"}
    (crema_d / "AudioWAV").rename(crema_d / "elsewhere")
    assert {recording.path.suffix for recording in read_corpus("crema_d", crema_d)} == {".mp3"}


def test_missing_files_are_named(crema_d):
    (crema_d / "VideoDemographics.csv").unlink()
    with pytest.raises(DataError, match="VideoDemographics.csv is missing.*CheyneyComputerScience/CREMA-D"):
        read_corpus("crema_d", crema_d)
    root = write_files(crema_d / "empty", {"VideoDemographics.csv": DEMOGRAPHICS})
    with pytest.raises(DataError, match=r"AudioWAV \(or AudioMP3\) is missing"):
        read_corpus("crema_d", root)
