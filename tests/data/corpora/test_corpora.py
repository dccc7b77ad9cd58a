import pytest
from support.tiny_corpora import touch

from evc_jax.data.corpora import CORPORA, EMOTIONS, read_corpus
from evc_jax.data.corpora.recording import emotion_named, sentence_id, sex_named
from evc_jax.errors import DataError


def test_ravdess_reads_speech_and_leaves_songs_and_videos(tmp_path):
    touch(
        tmp_path,
        "Audio_Speech_Actors_01-24/Actor_01/03-01-05-02-02-01-01.wav",
        "Audio_Speech_Actors_01-24/Actor_02/03-01-01-01-01-02-02.wav",
        "Actor_02/03-02-01-01-01-02-02.wav",
        "Actor_02/02-01-01-01-01-02-02.mp4",
        "Actor_02/._03-01-01-01-01-02-02.wav",
    )
    angry, neutral = read_corpus("ravdess", tmp_path)
    assert (angry.speaker, angry.sex, angry.emotion, angry.corpus_emotion) == (
        "ravdess-01",
        "male",
        "angry",
        "angry-strong",
    )
    assert (angry.text_id, angry.text) == ("ravdess-02", "Dogs are sitting by the door.")
    assert angry.utterance_id == "Actor_01/03-01-05-02-02-01-01"
    assert (neutral.speaker, neutral.sex, neutral.emotion) == ("ravdess-02", "female", "neutral")


def test_emodb(tmp_path):
    touch(tmp_path, "wav/03a01Fa.wav", "wav/16b10Lb.flac", "lablaut/03a01Fa.lablaut", "wav/readme.wav")
    happy, bored = read_corpus("emodb", tmp_path)
    assert (happy.speaker, happy.sex, happy.emotion, happy.corpus_emotion) == ("emodb-03", "male", "happy", "Freude")
    assert (bored.speaker, bored.sex, bored.emotion, bored.text_id) == ("emodb-16", "female", "bored", "emodb-b10")
    assert bored.text.startswith("Die wird auf dem Platz")


def test_librispeech_with_its_speaker_table_and_transcripts(tmp_path):
    root = touch(
        tmp_path / "LibriSpeech",
        "train-clean-100/14/208/14-208-0000.flac",
        "dev-clean/16/122847/16-122847-0001.flac",
        "test-other/17/1/17-1-0000.flac",
    )
    (root / "SPEAKERS.TXT").write_text(
        ";ID  |SEX| SUBSET           |MINUTES| NAME\n"
        "14   | F | train-clean-360  | 25.03 | Kristin LeMoine\n"
        "17   | M | test-other       | 25.04 | Somebody | else\n"
    )
    (root / "train-clean-100/14/208/14-208.trans.txt").write_text("14-208-0000 CHAPTER ONE\n")
    dev, test, train = read_corpus("librispeech", tmp_path)
    assert (train.speaker, train.sex, train.split, train.text) == (
        "librispeech-14",
        "female",
        "train",
        "CHAPTER ONE",
    )
    assert (test.sex, test.split, test.text) == ("male", "test", "")
    assert (dev.sex, dev.split, dev.emotion) == ("unknown", "validation", "unknown")


def test_ljspeech_keeps_quotation_marks(tmp_path):
    touch(tmp_path, "wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav")
    (tmp_path / "metadata.csv").write_text('LJ001-0001|"Dr. No|"Doctor No\nLJ001-0002|two|two\n')
    first, second = read_corpus("ljspeech", tmp_path)
    assert (first.text, second.text) == ('"Doctor No', "two")
    assert {first.speaker, second.speaker} == {"ljspeech-LJ"}
    assert first.text_id != second.text_id


def test_folder_takes_emotions_from_folder_names(tmp_path):
    touch(tmp_path, "anna/Anger/1.wav", "anna/bored/take 2/1.mp3", "ben/whispered/2.ogg", "ben/notes.txt")
    angry, bored, other = read_corpus("folder", tmp_path, prefix="mine")
    assert (angry.speaker, angry.sex, angry.emotion, angry.corpus_emotion) == (
        "mine-anna",
        "unknown",
        "angry",
        "Anger",
    )
    assert (bored.emotion, bored.utterance_id) == ("bored", "anna/bored/take 2/1")
    assert (other.emotion, other.corpus_emotion) == ("unknown", "whispered")


def test_formats_of_one_take_are_utterances_of_their_own(tmp_path):
    touch(tmp_path, "anna/sad/1.wav", "anna/sad/1.flac", "anna/sad/2.opus")
    (tmp_path / "table.csv").write_text("path,speaker\nanna/sad/1.wav,a\nanna/sad/1.flac,a\nanna/sad/2.opus,a\n")
    for source in (tmp_path, tmp_path / "table.csv"):
        found = read_corpus("folder" if source.is_dir() else "manifest", source)
        assert [r.utterance_id for r in found] == ["anna/sad/1.flac", "anna/sad/1.wav", "anna/sad/2"]


def test_manifest(tmp_path):
    table = tmp_path / "speech.csv"
    table.write_text('path,speaker,sex,emotion,text\na/1.wav,anna,F,joy,"Yes, now."\na/2.wav,ben,,,\n')
    first, second = read_corpus("manifest", table)
    assert first.path == tmp_path / "a/1.wav"
    assert (first.speaker, first.sex, first.emotion, first.text) == ("manifest-anna", "female", "happy", "Yes, now.")
    assert (second.sex, second.emotion, second.text_id) == ("unknown", "unknown", "")


def test_refusals_say_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match="no corpus named 'timit'; known are common_voice, crema_d, emodb"):
        read_corpus("timit", tmp_path)
    with pytest.raises(DataError, match="gone does not exist; expected the emodb corpus there .*emodb.bilderbar"):
        read_corpus("emodb", tmp_path / "gone")
    with pytest.raises(DataError, match="SPEAKERS.TXT is missing.*openslr.org/12"):
        read_corpus("librispeech", tmp_path)
    with pytest.raises(DataError, match="metadata.csv is missing.*LJ-Speech"):
        read_corpus("ljspeech", tmp_path)
    with pytest.raises(DataError, match="no recordings in the layout of ravdess; expected Actor_NN.*zenodo"):
        read_corpus("ravdess", touch(tmp_path, "a.wav"))
    with pytest.raises(DataError, match="is not a file; expected a CSV"):
        read_corpus("manifest", tmp_path)
    with pytest.raises(DataError, match="same utterance twice"):
        read_corpus("emodb", touch(tmp_path / "twice", "03a01Fa.wav", "03a01Fa.flac"))


def test_manifest_refusals(tmp_path):
    table = tmp_path / "speech.csv"
    table.write_text("file,speaker\na.wav,anna\n")
    with pytest.raises(DataError, match="no column path; expected the columns path, speaker"):
        read_corpus("manifest", table)
    table.write_text("path,speaker\na.wav,\n")
    with pytest.raises(DataError, match="row without path or speaker"):
        read_corpus("manifest", table)


def test_labels_map_to_one_vocabulary():
    assert [emotion_named(label) for label in ("Happy", " ang ", "fear", "", "sarcastic")] == [
        "happy",
        "angry",
        "fearful",
        "unknown",
        "unknown",
    ]
    assert [sex_named(label) for label in ("F", "male", "", "x")] == ["female", "male", "unknown", "unknown"]
    assert [sex_named(label) for label in ("male_masculine", "female_feminine", "intersex")] == [
        "male",
        "female",
        "unknown",
    ]


def test_sentences_differ_by_their_words():
    assert sentence_id("c", "  “Stop!”,  she said. ") == sentence_id("c", "Stop - she SAID") == "c-stop she said"
    assert sentence_id("c", "...") == sentence_id("c", "") == ""
    # The two differ in a vowel sign only.
    assert sentence_id("c", "की") != sentence_id("c", "का")


def test_every_corpus_says_what_it_is():
    for name, corpus in CORPORA.items():
        assert corpus.name == name and corpus.licence and corpus.source.startswith("expected ")


@pytest.mark.parametrize(
    ("name", "count", "speakers"),
    [
        ("ravdess", 1320, 22),
        ("emodb", 408, 8),
        ("librispeech", 331, 259),
        ("ljspeech", 141, 1),
    ],
)
def test_real_corpora(data_dir, name, count, speakers):
    recordings = read_corpus(name, data_dir / name)
    assert len(recordings) == count
    assert len({recording.speaker for recording in recordings}) == speakers
    assert {recording.emotion for recording in recordings} <= set(EMOTIONS)
    assert all(recording.sex != "unknown" for recording in recordings)
    assert recordings == sorted(recordings, key=lambda recording: recording.utterance_id)
    assert CORPORA[name].licence
