"""What trainings will refuse of a new dataset, or make little of, said when it is prepared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from evc_jax.audio.config import AudioConfig
from evc_jax.data.corpora.recording import Recording
from evc_jax.data.requirements import (
    MIN_CROP_FRAMES,
    NEUTRAL,
    UNKNOWN,
    choose_pairs,
    emotions_of,
    require_both_sexes,
    require_pairs,
    require_splits,
    require_two_speakers,
    timbre_window_frames,
)
from evc_jax.errors import DataError

# As many short utterances are no matter.
_SHORT_SHARE = 0.1


def advice(dataset: str, utterances: Sequence[Recording], frames: Mapping[str, int], config: AudioConfig) -> list[str]:
    """Sentences on what a training on this dataset alone will miss.

    Args:
      dataset: its name.
      utterances: that are usable, with splits.
      frames: mel frames of each, by utterance id.
      config: of the features.
    """
    splits = {
        split: [utterance for utterance in utterances if utterance.split == split] for split in ("train", "validation")
    }
    counts = {split: len(members) for split, members in splits.items() if members}
    found = list(_refused("trainings", lambda: require_splits(counts, dataset, tuple(splits))))
    train, validation = splits["train"], splits["validation"]
    found += _refused("VoiceGAN", lambda: require_both_sexes([sex for _, sex in sorted(_speakers(train))]))
    if {sex for _, sex in _speakers(train)} == {UNKNOWN}:
        found[-1] += " A manifest names the speakers' sexes."
    found += _emotions(train, validation)
    window = timbre_window_frames(config)
    for members in filter(None, splits.values()):
        long = [utterance.speaker for utterance in members if frames[utterance.utterance_id] >= window]
        if refused := list(_refused("the timbre converter", lambda: require_two_speakers(long))):  # noqa: B023
            found += refused
            break
    if len(_speakers(train)) == 1:
        found.append("alone it teaches SpeechSplit a single voice; add a dataset of other speakers.")
    short = sum(frames[utterance.utterance_id] < MIN_CROP_FRAMES for utterance in train)
    if short > _SHORT_SHARE * len(train):
        crop_s = MIN_CROP_FRAMES * config.hop_samples / config.sample_rate_hz
        found.append(
            f"{short} of {len(train)} training utterances are shorter than {crop_s:.1f} s, the shortest crop of "
            "SpeechSplit and the F0 converter, which take them with silence behind."
        )
    return found


def _emotions(train: Sequence[Recording], validation: Sequence[Recording]) -> Iterator[str]:
    named: list[str] = []
    refused = list(
        _refused(
            "CodeGAN and the prosody network",
            lambda: named.extend(emotions_of([utterance.emotion for utterance in train], "The train split")),
        )
    )
    yield from refused
    if refused:
        return
    if NEUTRAL not in named:
        yield "it has no neutral recordings, of which conversions are taken to start."

    def pairs() -> None:
        require_pairs(named, _paired(train, named))
        if validation:
            require_pairs(named, _paired(validation, named), all_needed=False)

    yield from _refused("the prosody network", pairs)


def _paired(utterances: Sequence[Recording], emotions: Sequence[str]) -> set[str]:
    """The emotions that have a pair."""
    return {name for name in emotions if next(choose_pairs(utterances, [name], 1), None)}


def _speakers(utterances: Sequence[Recording]) -> set[tuple[str, str]]:
    """Names and sexes."""
    return {(utterance.speaker, utterance.sex) for utterance in utterances}


def _refused(who: str, check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except DataError as error:
        yield f"alone it will not do for {who}: {error}"
