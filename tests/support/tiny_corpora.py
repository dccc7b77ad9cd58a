"""Miniature corpora in the layouts of the real ones, spoken by buzzers, and a speaker embedder that costs nothing."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16000


def buzz(f0_hz: float, duration_s: float) -> np.ndarray:
    """A vowel-like tone with a rising pitch and silence at both ends."""
    times = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(f0_hz * (1 + 0.2 * times / duration_s)) / RATE_HZ
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = np.clip(8 * np.minimum(times, duration_s - times) - 0.4, 0, 1)
    return (0.1 * tone * envelope).astype(np.float32)


def write_buzz(path: Path, f0_hz: float = 150.0, duration_s: float = 0.6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(os.fsencode(path), buzz(f0_hz, duration_s), RATE_HZ)
    return path


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write_files(root: Path, files: dict[str, str | bytes]) -> Path:
    """Metadata files exactly as given: no line ends are changed."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def write_ravdess(root: Path, actors: int = 6) -> Path:
    """Six actors, two emotions, two sentences; odd actors are men and low."""
    for actor in range(1, actors + 1):
        for emotion in (1, 5):
            for sentence in (1, 2):
                name = f"03-01-{emotion:02d}-01-{sentence:02d}-01-{actor:02d}.wav"
                f0_hz = (110 if actor % 2 else 220) + 2 * actor + 10 * emotion
                write_buzz(root / f"Actor_{actor:02d}" / name, f0_hz, 0.5 + 0.1 * sentence + 0.02 * actor)
    return root


def write_folder(root: Path, speakers=("anna", "ben", "cleo"), emotions=("neutral", "happy", "sad"), takes: int = 4):
    """SPEAKER/EMOTION/*.wav, which differ in register."""
    for s, speaker in enumerate(speakers):
        for e, emotion in enumerate(emotions):
            for take in range(takes):
                write_buzz(root / speaker / emotion / f"{take}.wav", 120 + 40 * s + 15 * e, 1.2 + 0.1 * take)
    return root


def write_vctk(root: Path, speakers: int = 6) -> Path:
    """Speakers of both sexes in turns, who read two sentences each, in the layout of release 0.92."""
    lines = ["ID  AGE  GENDER  ACCENTS  REGION COMMENTS"]
    for number in range(225, 225 + speakers):
        name, male = f"p{number}", number % 2
        lines.append(f"{name}  23  {'M' if male else 'F'}    English    Surrey")
        for sentence, text in enumerate(("Please call Stella.", "It's the law."), start=1):
            recording = f"{name}_{sentence:03d}"
            write_files(root, {f"txt/{name}/{recording}.txt": text})
            path = root / f"wav48_silence_trimmed/{name}/{recording}_mic2.flac"
            write_buzz(path, (110 if male else 210) + number - 225, 1.2 + 0.1 * sentence)
    write_files(root, {"speaker-info.txt": "\n".join(lines) + "\n"})
    return root


def write_iemocap(root: Path, sessions: int = 5, labels=("neu", "hap", "sad", "ang")) -> Path:
    """Both actors of each session say a scripted sentence in four emotions."""
    for session in range(1, sessions + 1):
        dialogue, summaries = f"Ses{session:02d}F_script01_1", []
        for sex in "FM":
            for number, label in enumerate(labels):
                turn = f"{dialogue}_{sex}{number:03d}"
                f0_hz = (110 if sex == "M" else 210) + 3 * session + 12 * number
                write_buzz(root / f"Session{session}/sentences/wav/{dialogue}/{turn}.wav", f0_hz, 1.2 + 0.1 * number)
                summaries.append(f"[10.0 - 11.0]\t{turn}\t{label}\t[3.0, 3.0, 3.0]\n")
        write_files(root, {f"Session{session}/dialog/EmoEvaluation/{dialogue}.txt": "".join(summaries)})
    return root


def embed(audio: np.ndarray) -> np.ndarray:
    """An embedding that depends on the recording's length; stands in for the voice encoder."""
    vector = np.abs(np.random.default_rng(len(audio)).normal(size=256)).astype(np.float32)
    return vector / np.linalg.norm(vector)


def counting_embed(audio: np.ndarray) -> np.ndarray:
    """`embed`, which leaves a mark in the file named in the environment, and takes as long as that says."""
    if calls := os.environ.get("EVC_TEST_CALLS"):
        with open(calls, "a") as file:
            file.write(".")
    time.sleep(float(os.environ.get("EVC_TEST_EMBEDDING_S", 0)))
    return embed(audio)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def contents_of(files: dict[str, str], folder: str) -> dict[str, str]:
    return {name.removeprefix(folder): digest for name, digest in files.items() if name.startswith(folder)}


def wait_until(condition, timeout_s: float = 600.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
