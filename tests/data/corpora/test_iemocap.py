"""IEMOCAP as IEMOCAP_full_release unpacks."""

import pytest
from support.tiny_corpora import touch, write_files

from evc_jax.data.corpora import read_corpus
from evc_jax.errors import DataError

IMPROVISED = (
    "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
    "C-E2:\tNeutral;\t()\n"
    "C-E3:\tNeutral;\t()\n"
    "C-F1:\tAnger;\t(curious)\n"
    "A-E3:\tval 3; act 2; dom  2;\t()\n"
    "A-F1:\tval 3; act 2; dom  1;\t([1.0 - 2.0]\tSes01F_impro01_F000\tang\t)\n"
    "\n"
    "[14.8872 - 18.0175]\tSes01F_impro01_M000\txxx\t[2.5000, 3.0000, 3.0000]\n"
    "C-E2:\tFrustration;\t()\n"
    "C-E3:\tAnger;\t()\n"
    "C-E4:\tNeutral state; Frustration;\t()\n"
    "\n"
    "[19.2900 - 20.7875]\tSes01F_impro01_M001\toth\t[2.5000, 3.0000, 3.0000]\n"
    "C-E4:\tOther;\t(impatient)\n"
    "\n"
)
LABELS = ("exc", "hap", "fru", "ang", "sad", "fea", "sur", "dis")


def summary(utterance, label):
    return f"[10.0000 - 11.0000]\t{utterance}\t{label}\t[3.0000, 3.0000, 3.0000]\nC-E2:\tAnger;\t()\n\n"


@pytest.fixture
def iemocap(tmp_path):
    root = tmp_path / "IEMOCAP_full_release"
    scripted = [f"Ses05M_script01_1b_F{i:03d}" for i in range(len(LABELS))]
    touch(
        root,
        *(f"Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_{turn}.wav" for turn in ("F000", "M000", "M001")),
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_MXX0.wav",
        "Session1/sentences/wav/Ses01F_impro01/._Ses01F_impro01_F000.wav",
        "Session1/sentences/wav/Ses01F_script01_1/Ses01F_script01_1_M004.wav",
        *(f"Session5/sentences/wav/Ses05M_script01_1b/{name}.wav" for name in scripted),
        "Session1/dialog/wav/Ses01F_impro01.wav",
        "Documentation/HumaineInfo.txt",
    )
    write_files(
        root,
        {
            "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt": IMPROVISED,
            "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt": b"\x00\x05\x16\x07",
            "Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e2_cat.txt": "Ses01F_impro01_F000 :Anger; ()\n",
            "Session1/dialog/EmoEvaluation/Ses01F_script01_1.txt": summary("Ses01F_script01_1_M004", "fru"),
            "Session5/dialog/EmoEvaluation/Ses05M_script01_1b.txt": "".join(map(summary, scripted, LABELS)),
            "Session1/dialog/transcriptions/Ses01F_impro01.txt": "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\n"
            "M: [LAUGHTER]\n"
            "Ses01F_impro01_M000 [014.8872-018.0175]: Is there a problem?\n",
            "Session1/dialog/transcriptions/Ses01F_script01_1.txt": "Ses01F_script01_1_M004 [010.0000-011.0000]: "
            "What's the matter?\n",
            "Session5/dialog/transcriptions/Ses05M_script01_1b.txt": "Ses05M_script01_1b_F000 [010.0000-011.0000]: "
            "What's the matter\n",
        },
    )
    return tmp_path


def by_id(root):
    return {recording.utterance_id: recording for recording in read_corpus("iemocap", root)}


def test_the_evaluators_majority_is_the_emotion(iemocap):
    recordings = by_id(iemocap)
    emotions = {key[-4:]: (r.emotion, r.corpus_emotion) for key, r in recordings.items() if "impro01" in key}
    assert emotions == {
        "F000": ("neutral", "neu"),
        "M000": ("unknown", "xxx"),
        "M001": ("unknown", "oth"),
        "MXX0": ("unknown", ""),
    }
    scripted = [(r.corpus_emotion, r.emotion) for key, r in recordings.items() if key.startswith("Ses05M")]
    assert scripted == [
        ("exc", "excited"),
        ("hap", "happy"),
        ("fru", "frustrated"),
        ("ang", "angry"),
        ("sad", "sad"),
        ("fea", "fearful"),
        ("sur", "surprised"),
        ("dis", "disgust"),
    ]


def test_the_utterance_tells_the_speaker_not_the_dialogue(iemocap):
    recordings = by_id(iemocap)
    speakers = {key: (recording.speaker, recording.sex) for key, recording in recordings.items()}
    assert speakers["Ses01F_impro01_F000"] == ("iemocap-Ses01F", "female")
    assert speakers["Ses01F_impro01_M000"] == ("iemocap-Ses01M", "male")
    assert speakers["Ses05M_script01_1b_F000"] == ("iemocap-Ses05F", "female")
    assert len({speaker for speaker, _ in speakers.values()}) == 3


def test_scripts_are_parallel_and_improvisations_are_not(iemocap):
    recordings = by_id(iemocap)
    improvised, scripted = recordings["Ses01F_impro01_M000"], recordings["Ses01F_script01_1_M004"]
    assert (improvised.text, improvised.text_id) == ("Is there a problem?", "iemocap-Ses01F_impro01_M000")
    assert scripted.text == "What's the matter?"
    assert scripted.text_id == recordings["Ses05M_script01_1b_F000"].text_id == "iemocap-what s the matter"
    assert recordings["Ses05M_script01_1b_F001"].text_id == ""


def test_a_missing_evaluation_is_named(iemocap):
    file = iemocap / "IEMOCAP_full_release/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    file.unlink()
    with pytest.raises(DataError, match="EmoEvaluation/Ses01F_impro01.txt is missing.*sail.usc.edu/iemocap"):
        read_corpus("iemocap", iemocap)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no recordings in the layout of iemocap; expected SessionN/sentences"):
        read_corpus("iemocap", touch(tmp_path, "Session1/readme.txt"))
