"""LibriTTS and LibriTTS-R as their archives unpack."""

import pytest
from support.tiny_corpora import touch, write_files

from evc_jax.data.corpora import read_corpus
from evc_jax.errors import DataError

SPEAKERS_TXT = (
    "; Some pipe(|) separated metadata about all LibriVox readers, whose work was used\n"
    "; in the corpus.\n"
    ";\n"
    ";ID  |SEX| SUBSET           |MINUTES| NAME\n"
    "19   | F | train-clean-100  | 25.19 | Kara Shallenberg\n"
    "84   | F | dev-clean        | 8.02  | Christie Nowak\n"
    "60   | M | train-clean-100  | 20.18 | |CBW|Simon\n"
)
# Its head has fewer tabs than its rows, and some rows end without a name.
SPEAKERS_TSV = "READER\tGENDER\tSUBSET NAME\n19\tF\ttrain-clean-100\tKara Shallenberg\n60\tM\ttrain-clean-100\n"


def write_libritts(root):
    chapters = {
        "dev-clean/84/121123": "84_121123_000007_000001",
        "train-clean-100/60/121082": "60_121082_000003_000000",
    }
    for chapter, stem in chapters.items():
        touch(root, f"{chapter}/{stem}.wav", f"{chapter}/._{stem}.wav")
        write_files(
            root,
            {
                f"{chapter}/{stem}.original.txt": "Dr. Maximilian -- 2.",
                f"{chapter}/{stem}.normalized.txt": "Doctor Maximilian - two.",
                f"{chapter}/{'_'.join(stem.split('_')[:2])}.trans.tsv": f"{stem}\tDr. Maximilian -- 2.\tDoctor.\n",
                f"{chapter}/{'_'.join(stem.split('_')[:2])}.book.tsv": f"{stem}\tDr. Maximilian -- 2.\t18.5\n",
            },
        )
    return touch(root, "train-clean-100/19/198/19_198_000000_000000.wav", "reader_book.tsv", "NOTE.txt")


@pytest.mark.parametrize(
    ("name", "folder", "tables"),
    [
        ("libritts", "LibriTTS", {"SPEAKERS.txt": SPEAKERS_TXT, "speakers.tsv": SPEAKERS_TSV}),
        ("libritts_r", "LibriTTS_R", {"speakers.tsv": SPEAKERS_TSV}),
    ],
)
def test_normalized_texts_sexes_and_splits(tmp_path, name, folder, tables):
    write_files(write_libritts(tmp_path / folder), tables)
    dev, kara, simon = read_corpus(name, tmp_path)
    assert (simon.speaker, simon.sex, simon.split) == (f"{name}-60", "male", "train")
    assert simon.utterance_id == "train-clean-100/60/121082/60_121082_000003_000000"
    assert (simon.text, dev.text, kara.text) == ("Doctor Maximilian - two.", "Doctor Maximilian - two.", "")
    assert (kara.sex, dev.split, dev.emotion) == ("female", "validation", "unknown")
    assert dev.sex == ("female" if "SPEAKERS.txt" in tables else "unknown")
    assert read_corpus(name, tmp_path / folder) == [dev, kara, simon]


def test_missing_tables_are_named(tmp_path):
    root = write_libritts(tmp_path)
    with pytest.raises(DataError, match=r"SPEAKERS.txt \(or speakers.tsv\) is missing.*openslr.org/60"):
        read_corpus("libritts", root)
    with pytest.raises(DataError, match="speakers.tsv of doc.tar.gz .*openslr.org/141"):
        read_corpus("libritts_r", root)
