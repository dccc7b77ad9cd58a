"""Mixtures, tracks and curves: what is asked for over time, and one sentence for what cannot be."""

import numpy as np
import pytest

from evc_jax.conversion.emotion_files import read_track
from evc_jax.conversion.emotion_track import Curve, EmotionTrack, normalized, parse_weights
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import ConfigError

EMOTIONS = ("neutral", "happy", "sad", "surprised")
CSV = 'start_s,end_s,emotion,strength\n0,1,happy,1\n1,2,"happy=1,sad=3",0.5\n'
LABELS = "0.0\t1.0\thappy\n\\\t100.0\t5000.0\n1.0\t2.0\thappy=0.125,sad=0.375\n"
JSON = """[
    {"start_s": 0, "end_s": 1, "emotion": "happy"},
    {"start_s": 1, "end_s": 2, "emotion": {"happy": 0.125, "sad": 0.375}}
]"""
SHORT = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2.5\n<exists>\n2\n'
    '"IntervalTier"\n"words"\n0\n2.5\n1\n0\n2.5\n"hello"\n'
    '"IntervalTier"\n"Emotion"\n0\n2.5\n3\n0\n1\n"happy"\n1\n2\n"happy=0.125,sad=0.375"\n2\n2.5\n""\n'
)
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "whatever"
        xmin = 0
        xmax = 2.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "happy"
        intervals [2]:
            xmin = 1
            xmax = 2
            text = "happy=0.125,sad=0.375"
        intervals [3]:
            xmin = 2
            xmax = 2.5
            text = ""
"""


def test_weights_are_read_and_normalised():
    assert parse_weights("happy") == {"happy": 1}
    assert normalized(parse_weights(" happy = 0.3 , surprised=0.2 ")) == pytest.approx({"happy": 0.6, "surprised": 0.4})
    assert normalized(parse_weights({"happy": 3, "sad": 0})) == {"happy": 1}
    assert parse_weights('{"happy": 0.6, "sad": 0.4}') == parse_weights("happy=0.6,sad=0.4")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("happy=-1,sad=2", "weight of happy is -1"),
        ("happy=0,sad=0", "are zero"),
        ("happy=much", "'much'; give a number"),
        ("happy=nan", "give a number"),
        ("happy=1,happy=2", "'happy' is given twice"),
        ('{"happy": 1, "happy": 2}', "'happy' is given twice"),
        ("", "cannot be read"),
        ("happy,,sad", "cannot be read"),
        ({}, "cannot be read"),
        ('{"happy"', "no JSON object"),
        ({"happy": True}, "give a number"),
    ],
)
def test_what_is_no_mixture_is_one_sentence(value, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ConversionOptions(emotion=value)


def test_a_pure_emotion_is_a_corner_at_any_time():
    weights = ConversionOptions(emotion="sad", strength=0.7).emotion_weights(np.array([0.0, 3.0, 9e3]), EMOTIONS)
    np.testing.assert_allclose(weights, np.repeat([[0, 0, 0.7, 0]], 3, axis=0), rtol=1e-6)
    assert ConversionOptions(emotion="sad", strength=0).emotion_weights(np.zeros(2), EMOTIONS) is None
    assert ConversionOptions().emotion_weights(np.zeros(2), EMOTIONS) is None


@pytest.mark.parametrize("text", [CSV, LABELS, JSON, SHORT, LONG], ids=["csv", "audacity", "json", "short", "long"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_format_is_the_same_track(tmp_path, text, encoding):
    file = tmp_path / "track"
    file.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    track = read_track(file)
    assert [(s.start_s, s.end_s, s.strength) for s in track.spans] == [(0, 1, 1), (1, 2, 0.5)]
    assert [dict(s.mixture) for s in track.spans] == [{"happy": 1}, {"happy": 0.25, "sad": 0.75}]
    assert EmotionTrack.from_rows(track.to_rows()) == track == read_track(file.read_bytes())


def test_changes_are_cross_faded_and_gaps_stay_as_they_are():
    track = EmotionTrack.from_rows(
        [
            {"start_s": 0, "end_s": 1, "emotion": "happy"},
            {"start_s": 1, "end_s": 2, "emotion": "sad"},
            {"start_s": 3, "end_s": 4, "emotion": "happy"},
        ]
    ).within(4.0)
    times_s = np.array([0.0, 0.8, 1.0, 1.1, 1.2, 1.9, 2.0, 2.5, 3.0, 4.0])
    weights = track.weights(times_s, EMOTIONS, fade_s=0.4)
    happy = [1, 1, 0.5, 0.25, 0, 0, 0, 0, 0.5, 1]
    sad = [0, 0, 0.5, 0.75, 1, 0.75, 0.5, 0, 0, 0]
    np.testing.assert_allclose(weights[:, 1], happy, atol=1e-6)
    np.testing.assert_allclose(weights[:, 2], sad, atol=1e-6)
    assert not weights[:, [0, 3]].any()
    sudden = track.weights(times_s, EMOTIONS, fade_s=0)
    np.testing.assert_allclose(sudden[[1, 4], 1], [1, 0], atol=1e-6)


def test_overlaps_mix():
    rows = [{"start_s": 0, "end_s": 9, "emotion": "happy"}, {"start_s": 0, "end_s": 9, "emotion": "sad=1.5"}]
    weights = EmotionTrack.from_rows(rows).weights(np.array([4.0]), EMOTIONS, 0.3)
    np.testing.assert_allclose(weights, [[0, 0.5, 0.75, 0]], atol=1e-6)


def test_the_strength_may_be_a_curve():
    for curve in ("0:0,1.5:1", [(0, 0), (1.5, 1)], Curve((0.0, 1.5), (0.0, 1.0))):
        options = ConversionOptions(emotion="happy", strength=curve)
        weights = options.emotion_weights(np.array([0.0, 0.75, 1.5, 9.0]), EMOTIONS)
        np.testing.assert_allclose(weights[:, 1], [0, 0.5, 1, 1], atol=1e-6)
        assert str(options.strength) == "0:0,1.5:1"
    doubled = ConversionOptions(emotion_track=[{"start_s": 0, "end_s": 1, "emotion": "sad=2"}], strength=2)
    assert doubled.emotion_weights(np.array([0.0]), EMOTIONS).sum() == 3  # no more than the largest strength


@pytest.mark.parametrize(
    ("curve", "sentence"),
    [
        ("0:0,0:1", "goes from 0 s to 0 s"),
        ("1:0,0.5:1", "goes from 1 s to 0.5 s"),
        ("0:0,1:9", "strength is 9"),
        ("0:0,1", "cannot be read"),
        ("", "cannot be read"),
        ([], "no points"),
        ("0:nan", "no finite number"),
    ],
)
def test_what_is_no_curve_is_one_sentence(curve, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ConversionOptions(emotion="happy", strength=curve)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("start_s,end_s,emotion\n2,1,happy\n", "from 2 s to 1 s"),
        ("start_s,end_s,emotion\n1,1,happy\n", "from 1 s to 1 s"),
        ("start_s,end_s,emotion\n-1,1,happy\n", "begins at -1 s"),
        ("start_s,end_s,emotion,strength\n0,1,happy,7\n", "strength 7"),
        ("start_s,end_s,emotion,strength\n0,1,happy,loud\n", "strength of row 1 is 'loud'"),
        ("start_s,end_s,emotion\n0,1\n", "Row 1 of the emotion track has no emotion"),
        ("start_s,end_s,emotion,colour\n0,1,happy,red\n", "has 'colour'"),
        ("start,end,emotion\n0,1,happy\n", "no column start_s or end_s"),
        ("start_s,end_s,emotion\n", "holds no emotion"),
        ("", "no column"),
        ("0.0\t1.0\n", "line 1 has 2 fields"),
        ("0.0\tone\thappy\n", "end_s of row 1 is 'one'"),
        ("[1, 2]", "Row 1 of the emotion track is no mapping"),
        ("[{", "no JSON"),
        (SHORT.replace("Emotion", "mood"), "no interval tier is named 'emotion'"),
        (SHORT[:-60], "damaged"),
        (SHORT[:150], "holds no emotion"),
        ("\x00\x01\x02", "no column"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_with_its_name(tmp_path, text, sentence):
    file = tmp_path / "my track.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        ConversionOptions(emotion_track=file)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


def test_files_that_are_no_text_or_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_track(tmp_path / "missing.csv")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_track(b"start_s\xff")


def test_a_track_must_end_with_the_recording():
    options = ConversionOptions(emotion_track=[{"start_s": 1, "end_s": 5, "emotion": "sad"}])
    assert options.within(4.95).emotion_weights(np.array([4.95]), EMOTIONS)[0, 2] == 1
    with pytest.raises(ConfigError, match=r"goes on to 5 s, and the recording lasts 4\.50 s"):
        options.within(4.5)


def test_an_emotion_is_given_in_one_way(tmp_path):
    with pytest.raises(ConfigError, match="Both emotion and emotion_track are given"):
        ConversionOptions(emotion="happy", emotion_track=[{"start_s": 0, "end_s": 1, "emotion": "sad"}])
    with pytest.raises(ConfigError, match="There is no recording"):
        ConversionOptions(emotion_from=tmp_path / "missing.wav")
