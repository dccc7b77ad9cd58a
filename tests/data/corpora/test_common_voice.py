"""Common Voice with the columns of its releases, old and new."""

import pytest
from support.tiny_corpora import touch, write_files

from evc_jax.data.corpora import read_corpus
from evc_jax.data.prepare.splits import assign_splits
from evc_jax.errors import DataError

COLUMNS = [
    "client_id",
    "path",
    "sentence_id",
    "sentence",
    "sentence_domain",
    "up_votes",
    "down_votes",
    "age",
    "gender",
    "accents",
    "variant",
    "locale",
    "segment",
]
OLD_COLUMNS = ["client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent"]
ANNA, BEN, CARL, DORA = (letter * 128 for letter in "abcd")


def row(client, clip, sentence, gender="", number="1"):
    fields = {"client_id": client, "path": f"common_voice_en_{clip}.mp3", "sentence": sentence, "gender": gender}
    fields |= {"sentence_id": number * 64, "up_votes": "2", "down_votes": "0", "locale": "en"}
    return "\t".join(fields.get(column, "") for column in COLUMNS)


def table(*rows, columns=COLUMNS):
    return "\n".join(["\t".join(columns), *rows]) + "\n"


TRAIN = [row(ANNA, 1, "One."), row(ANNA, 2, "Two.", "female_feminine", "2"), row(CARL, 3, "Three.", "other", "3")]
DEV = [row(BEN, 4, "Four.", "male_masculine", "4")]
TEST = [row(DORA, 5, "Five.", "do_not_wish_to_say", "5")]
REST = [row(ANNA, 6, "Four.", "", "4"), row(BEN, 7, "Two.", "", "2")]


@pytest.fixture
def release(tmp_path):
    """A release with one language, `cv-corpus-17.0-2024-03-15/en`."""
    root = tmp_path / "cv-corpus-17.0-2024-03-15" / "en"
    touch(root, *(f"clips/common_voice_en_{i}.mp3" for i in range(1, 9)), "times.txt", "clip_durations.tsv")
    return write_files(
        root,
        {
            "train.tsv": table(*TRAIN),
            "dev.tsv": table(*DEV),
            "test.tsv": table(*TEST),
            "validated.tsv": table(*REST, *DEV, *TEST, *TRAIN),
            "other.tsv": table(row(ANNA, 8, "Eight.")),
            "invalidated.tsv": table(row(ANNA, 8, "Eight.")),
            "reported.tsv": "sentence_id\tsentence\tlocale\treason\n",
        },
    )


def by_clip(root):
    return {int(r.utterance_id.rsplit("_")[-1]): r for r in read_corpus("common_voice", root, "cv")}


def test_official_parts_are_kept_and_share_no_speaker(release):
    recordings = by_clip(release)
    splits = {clip: recording.split for clip, recording in recordings.items()}
    # Clip 7 is validated, but of a speaker of dev.tsv; clip 8 is not validated.
    assert splits == {1: "train", 2: "train", 3: "train", 4: "validation", 5: "test", 6: "train"}
    assert recordings[4].path == release / "clips" / "common_voice_en_4.mp3"
    assert recordings[4].speaker == f"cv-{BEN}"
    found = list(recordings.values())
    assert assign_splits(found).recordings == found


def test_a_client_has_one_sex_though_few_rows_give_it(release):
    sexes = {clip: recording.sex for clip, recording in by_clip(release).items()}
    assert sexes == {1: "female", 2: "female", 3: "unknown", 4: "male", 5: "unknown", 6: "female"}
    write_files(release, {"train.tsv": "", "validated.tsv": table(*TRAIN, row(ANNA, 6, "Four.", "male"))})
    assert by_clip(release)[1].sex == "unknown"


def test_sentence_ids_make_recordings_parallel(release):
    recordings = by_clip(release)
    assert recordings[4].text_id == recordings[6].text_id == "cv-" + "4" * 64
    assert recordings[1].text_id != recordings[2].text_id


def test_release_is_found_below_its_folder(release):
    assert len(read_corpus("common_voice", release.parent)) == len(read_corpus("common_voice", release.parents[1])) == 6
    touch(release.parent, "de/clips/common_voice_de_1.mp3")
    with pytest.raises(DataError, match=r"2 languages of common_voice \(de, en\); give the folder of one"):
        read_corpus("common_voice", release.parent)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"Then he said: stop.', '"Then he said: stop.'),
        ('"""Good-bye,"" said the boy."', '"Good-bye," said the boy.'),
        ('"Quoted as a whole."', "Quoted as a whole."),
        ('"One" and "two"', '"One" and "two"'),
        ('"', '"'),
        ("Line\u2028separator and \x85 more\r", "Line\u2028separator and \x85 more"),
    ],
)
def test_quotation_marks_need_not_pair_up(release, written, text):
    write_files(release, {"validated.tsv": table(row(ANNA, 1, written), row(CARL, 3, "Next.", number="3"))})
    recordings = by_clip(release)
    assert (recordings[1].text, recordings[3].text) == (text, "Next.")


def test_broken_rows_and_absent_clips_are_passed_over(release):
    broken = [row(ANNA, 1, "A tab\there."), row(ANNA, 2, "A line\nbreak."), row(CARL, 99, "Not downloaded.")]
    write_files(release, {"validated.tsv": table(*broken, row(CARL, 3, "Three."), row(CARL, 3, "Three."))})
    assert sorted(by_clip(release)) == [3, 4, 5]


def test_early_releases_have_fewer_columns_and_bare_names(tmp_path):
    touch(tmp_path, "clips/abc.mp3", "clips/def.wav", "clips/ghi.mp3")
    rows = ["\t".join([ANNA, "abc", "Hello, world!", "2", "0", "twenties", "female", "us"])]
    rows += ["\t".join([BEN, name, "Hello world", "2", "0", "", "male", ""]) for name in ("def.mp3", "ghi.mp3")]
    write_files(tmp_path, {"train.tsv": table(*rows, columns=OLD_COLUMNS).replace("\n", "\r\n")})
    first, second, third = read_corpus("common_voice", tmp_path)
    assert (first.sex, second.sex, third.sex) == ("female", "male", "male")
    assert (first.utterance_id, second.path.name) == ("abc", "def.wav")
    assert first.text_id == third.text_id == "common_voice-hello world"
    assert {recording.split for recording in (first, second, third)} == {"train"}


def test_missing_files_are_named(tmp_path, release):
    with pytest.raises(DataError, match="clips is missing, without which common_voice .*commonvoice.mozilla.org"):
        read_corpus("common_voice", write_files(tmp_path / "tables", {"validated.tsv": table()}))
    with pytest.raises(DataError, match=r"validated.tsv \(or train.tsv\) is missing"):
        read_corpus("common_voice", touch(tmp_path / "audio", "clips/a.mp3"))
    write_files(release, {"dev.tsv": "client\tpath\n"})
    with pytest.raises(DataError, match="dev.tsv has no column client_id or sentence"):
        read_corpus("common_voice", release)
