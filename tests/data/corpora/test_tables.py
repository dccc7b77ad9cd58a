"""Metadata files in every encoding, and what is wrong with others: file, line, remedy."""

import os
import unicodedata

import pytest
from support.tiny_corpora import touch, write_files

from evc_jax.data.corpora import read_corpus
from evc_jax.errors import DataError

ROWS = 'path,speaker,sex,emotion,text\n1.wav,Jörg,male,neutral,Grüße\n2.wav,Anna,f,sad,"Ja, gut."\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_manifest_is_read_by_its_byte_order_mark(tmp_path, encoding, line_end):
    write_files(tmp_path, {"table.csv": ROWS.replace("\n", line_end).encode(encoding)})
    first, second = read_corpus("manifest", tmp_path / "table.csv")
    assert (first.speaker, first.text, second.text) == ("manifest-Jörg", "Grüße", "Ja, gut.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROWS.encode("cp1252"), r"line 2: the text is not UTF-8; save the file as UTF-8\.$"),
        (ROWS.encode("utf-16")[:-1], r"line 3: the text is not UTF-16; save the file as UTF-8\.$"),
        ((ROWS + '3.wav,"Ben,m,,\n4.wav,Cem,m,,\n').encode(), r"line 4: a quotation mark is not closed.*; mend"),
        ((ROWS + '3.wav,"Ben,m,,\n4.wav,"Cem",m,,\n').encode(), r"line 4: a quotation mark is not closed.*; mend"),
        ((ROWS + f"3.wav,Ben,m,,{'x' * 131073}\n").encode(), r"line 4: .*longer than 131,072 characters.*; mend"),
        ((ROWS + "\n3.wav,Ben,m,,Yes, now.\n").encode(), r"line 5: 6 fields where there are 5 columns; put"),
        ((ROWS + '3.wav,"Be\nn",m,,\n,Cem,,,\n').encode(), r"line 6: a row without path or speaker; fill in both"),
        (b"", "no column path or speaker; expected the columns path"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named_with_its_line(tmp_path, content, message):
    write_files(tmp_path, {"table.csv": content})
    with pytest.raises(DataError, match=f"table.csv.*{message}"):
        read_corpus("manifest", tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("name", "table", "audio", "line"),
    [
        ("librispeech", "SPEAKERS.TXT", "train/14/1/14-1-0.flac", 1),
        ("librispeech", "train/14/1/14-1.trans.txt", "train/14/1/14-1-0.flac", 1),
        ("libritts", "train/14/1/14-1-0.normalized.txt", "train/14/1/14-1-0.wav", 1),
        ("vctk", "speaker-info.txt", "wav48/p225/p225_001.wav", 1),
        ("vctk", "txt/p225/p225_001.txt", "wav48/p225/p225_001.wav", 1),
        ("ljspeech", "metadata.csv", "wavs/LJ001-0001.wav", 1),
        ("crema_d", "VideoDemographics.csv", "AudioWAV/1001_DFA_ANG_XX.wav", 2),
        ("common_voice", "validated.tsv", "clips/a.mp3", 2),
        (
            "iemocap",
            "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
            "Session1/sentences/wav/Ses01F_impro01/x.wav",
            1,
        ),
    ],
)
def test_every_corpus_names_metadata_that_is_not_utf8(tmp_path, name, table, audio, line):
    heads = {"crema_d": "ActorID,Sex\n", "common_voice": "client_id\tpath\tsentence\n"}
    tables = {
        "SPEAKERS.TXT": "",
        "SPEAKERS.txt": "",
        "speaker-info.txt": "",
        table: heads.get(name, "").encode() + b"\xe9",
    }
    write_files(touch(tmp_path, audio), tables)
    with pytest.raises(DataError, match=rf"{os.path.basename(table)}, line {line}: the text is not UTF-8; save"):
        read_corpus(name, tmp_path)


def test_manifests_and_files_may_differ_in_normalization(tmp_path):
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        root = touch(
            tmp_path / form, unicodedata.normalize(form, "José/1.wav"), unicodedata.normalize(form, "José/2.wav")
        )
        rows = [unicodedata.normalize(other, "José/1.wav,José"), unicodedata.normalize(form, "José/2.wav,José")]
        write_files(root, {"table.csv": "\n".join(["path,speaker", *rows])})
        recordings = read_corpus("manifest", root / "table.csv")
        assert all(recording.path.exists() for recording in recordings)
        assert {recording.speaker for recording in recordings} == {"manifest-José"}


def test_folders_of_speakers_and_emotions_may_be_links(tmp_path):
    disk = touch(tmp_path / "disk", "angry/1.wav", "03-01-05-01-01-01-01.wav")
    root = tmp_path / "corpus"
    (root / "ben").mkdir(parents=True)
    (root / "anna").symlink_to(disk)
    (root / "ben/sad").symlink_to(touch(tmp_path / "more", "2.wav"))
    (root / "ben/circle").symlink_to(root)
    (tmp_path / "link").symlink_to(root)
    for place in (root, tmp_path / "link"):
        assert [(r.speaker, r.emotion) for r in read_corpus("folder", place)] == [
            ("folder-anna", "angry"),
            ("folder-ben", "sad"),
        ]
    assert len(read_corpus("ravdess", root)) == 1


def test_a_corpus_of_unread_formats_says_so(tmp_path):
    with pytest.raises(DataError, match=r"no recordings in the layout of folder; .*: 1 \(format .*1.aax\)"):
        read_corpus("folder", touch(tmp_path, "anna/sad/1.aax"))
