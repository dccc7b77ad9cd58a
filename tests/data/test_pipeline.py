import functools
import itertools

import numpy as np
import pytest

from evc_jax.audio import spectral_shape
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm, to_pcm
from evc_jax.data.dataset import SpeakerTable
from evc_jax.data.pipeline import (
    BalancedVoices,
    CropConfig,
    SegmentConfig,
    build,
    crop_utterance,
    cut_segment,
    cut_whitened_segment,
)
from evc_jax.errors import ConfigError, DataError
from evc_jax.features.f0_codes import LogF0Statistics, normalize_f0

BANDS = 4


class Records:
    """Utterances whose values give their place: frame t of utterance i has mel `i + (t + 1) / 1000`."""

    def __init__(self, *frames: int):
        self.frames = frames

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, i):
        t = np.arange(self.frames[i], dtype=np.float32)
        samples = np.arange((self.frames[i] - 1) * 256, dtype=np.int64)
        return {
            "mel": np.repeat(i + (t[:, None] + 1) / 1000, BANDS, axis=1).astype(np.float32),
            "f0_hz": np.where(t % 2, 100 + t, 0).astype(np.float32),
            # The audio counts frames, too: every sample of frame t's hop is t + 1.
            "audio": (samples // 256 + 1).astype(np.int16),
            "speaker_embedding": np.full(256, i, np.float32),
            "log_f0_mean": float(np.log(200.0)),
            "log_f0_std": 0.25,
        }


def speechsplit_pipeline(source, config, batch_size, seed, **options):
    return build(source, functools.partial(crop_utterance, config=config), batch_size, seed, **options)


def take(dataset, count):
    return list(itertools.islice(iter(dataset), count))


def stack(batches):
    batches = list(batches)
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def assert_equal_batches(a, b):
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            np.testing.assert_array_equal(x[key], y[key])


def test_speechsplit_crops_are_aligned_and_padded():
    source = Records(30, 300, 500, 100)
    batches = take(speechsplit_pipeline(source, CropConfig(), 8, seed=1), 10)
    lengths = np.concatenate([batch["length"] for batch in batches])
    utterances = np.concatenate([batch["speaker_embedding"][:, 0] for batch in batches]).astype(int)
    assert set(lengths[utterances == 0]) == {30}
    assert all(64 <= n <= 128 for n in lengths[utterances > 0]) and len(set(lengths)) > 10
    for batch in batches:
        assert batch["mel"].shape == (8, 192, BANDS) and batch["mel"].dtype == np.float32
        assert batch["f0"].shape == (8, 192) and batch["f0"].dtype == np.float32
        assert batch["speaker_embedding"].shape == (8, 256)
        assert batch["length"].dtype == np.int32 and batch["index"].dtype == np.int64
        for mel, f0, n, i in zip(
            batch["mel"], batch["f0"], batch["length"], batch["speaker_embedding"][:, 0].astype(int), strict=True
        ):
            start = round(float(mel[0, 0] - i) * 1000) - 1
            record = source[i]
            np.testing.assert_array_equal(mel[:n], record["mel"][start : start + n])
            statistics = LogF0Statistics(record["log_f0_mean"], record["log_f0_std"])
            expected = normalize_f0(record["f0_hz"][start : start + n], statistics)
            np.testing.assert_array_equal(f0[:n], expected)
            assert not mel[n:].any() and not f0[n:].any()


def test_training_is_endless_and_each_pass_sees_every_record_in_another_order():
    batches = take(speechsplit_pipeline(Records(*[100] * 8), CropConfig(), 4, seed=3), 8)
    order = np.concatenate([batch["speaker_embedding"][:, 0] for batch in batches]).reshape(4, 8)
    assert (np.sort(order, axis=1) == np.arange(8)).all()
    assert len({tuple(row) for row in order}) > 1
    np.testing.assert_array_equal(np.concatenate([batch["index"] for batch in batches]), np.arange(32))


def test_same_seed_same_batches_and_another_seed_others():
    def run(seed, threads=4):
        return take(speechsplit_pipeline(Records(200, 300, 400), CropConfig(), 2, seed, read_threads=threads), 5)

    assert_equal_batches(run(5), run(5))
    assert_equal_batches(run(5), run(5, threads=0))
    assert any((a["length"] != b["length"]).any() for a, b in zip(run(5), run(6), strict=True))


@pytest.mark.parametrize("batch_size, processes", [(2, 1), (4, 1), (1, 2)])
def test_a_position_in_the_data_is_a_number_of_samples(batch_size, processes):
    def run(batch_size, **options):
        return speechsplit_pipeline(Records(200, 300, 400), CropConfig(), batch_size, seed=5, **options)

    expected = stack(take(run(2), 8)[4:])
    options = {"first_sample": 8, "process_count": processes}
    batches = 8 // batch_size // processes
    shares = [stack(take(run(batch_size, process_index=p, **options), batches)) for p in range(processes)]
    together = stack(shares)
    order = np.argsort(together["index"])
    assert_equal_batches([{key: value[order] for key, value in together.items()}], [expected])


class Watched(Records):
    """Records that tell which of them were read."""

    def __init__(self, *frames):
        super().__init__(*frames)
        self.read = []

    def __getitem__(self, i):
        self.read.append(i)
        return super().__getitem__(i)


def test_nothing_before_the_position_and_nothing_of_other_processes_is_read():
    source = Watched(*[200] * 64)
    options = {"process_index": 1, "process_count": 4, "first_sample": 32, "read_threads": 0}
    taken = stack(take(speechsplit_pipeline(source, CropConfig(), 4, seed=5, **options), 2))
    assert source.read == taken["record"].tolist()
    assert taken["index"].tolist() == list(range(33, 64, 4))


def test_processes_share_the_samples_of_one():
    def run(batch_size, **options):
        return take(speechsplit_pipeline(Records(200, 300, 400), CropConfig(), batch_size, 5, **options), 3)

    shares = [run(2, process_index=p, process_count=4) for p in range(4)]
    for step, whole in enumerate(run(8)):
        together = {key: np.concatenate([share[step][key] for share in shares]) for key in whole}
        order = np.argsort(together["index"])
        assert_equal_batches([{key: value[order] for key, value in together.items()}], [whole])


def test_evaluation_is_one_pass_with_the_same_crops_whatever_the_seed():
    def run(seed, frames=(200,) * 7, batch_size=3, **options):
        return list(speechsplit_pipeline(Records(*frames), CropConfig(), batch_size, seed, train=False, **options))

    batches = run(1)
    np.testing.assert_array_equal(np.concatenate([batch["index"] for batch in batches]), np.arange(9))
    np.testing.assert_array_equal(np.concatenate([batch["weight"] for batch in batches]), [1] * 7 + [0] * 2)
    np.testing.assert_array_equal(np.concatenate([batch["record"] for batch in batches]), [*range(7), 0, 1])
    assert_equal_batches(batches, run(2))


@pytest.mark.parametrize("limit", [5, 100])
@pytest.mark.parametrize("batch_size, processes", [(1, 1), (50, 1), (3, 2), (2, 4), (1, 9)])
def test_evaluation_reads_the_same_samples_in_any_division(batch_size, processes, limit):
    def run(batch_size, processes):
        shares = [
            list(
                speechsplit_pipeline(
                    Records(*(200,) * 7),
                    CropConfig(),
                    batch_size,
                    0,
                    train=False,
                    process_index=p,
                    process_count=processes,
                    limit=limit,
                )
            )
            for p in range(processes)
        ]
        assert len({len(share) for share in shares}) == 1
        batches = [batch for share in shares for batch in share]
        whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        counted = np.argsort(whole["index"])[: int(whole["weight"].sum())]
        return {name: value[counted] for name, value in whole.items()}

    expected = run(7, 1)
    assert expected["index"].tolist() == list(range(min(7, limit)))
    assert_equal_batches([run(batch_size, processes)], [expected])


def test_waveglow_segments_are_aligned():
    batches = take(build(Records(100, 60, 20), functools.partial(cut_segment, config=SegmentConfig()), 6, seed=2), 5)
    starts = set()
    for batch in batches:
        assert batch["audio"].shape == (6, 12000) and batch["audio"].dtype == np.float32
        assert batch["mel"].shape == (6, 47, BANDS)
        for audio, mel in zip(batch["audio"], batch["mel"], strict=True):
            frame_numbers = np.round(audio * 32767).astype(int)
            first = round(float(mel[0, 0] % 1) * 1000)
            short = frame_numbers[-1] == 0
            assert frame_numbers[0] == frame_numbers[255] == first and frame_numbers[256] == first + 1
            if not short:
                assert frame_numbers[46 * 256] == round(float(mel[46, 0] % 1) * 1000)
            else:
                assert not frame_numbers[19 * 256 :].any() and not mel[20:].any() and mel[19].any()
            starts.add(first)
    assert len(starts) > 5


@pytest.mark.parametrize("samples", [2000, 3100, 20_000])
def test_whitened_segments_are_those_of_the_whitened_recording(samples):
    config, draw, hop = AudioConfig(mel_bands=BANDS), np.random.default_rng(0), 256
    mel = draw.uniform(0.4, 0.9, (40, BANDS)).astype(np.float32)
    record = {"mel": mel, "audio": to_pcm(0.1 * draw.standard_normal(39 * hop + 100))}
    gains = spectral_shape.log_gains(mel, config)
    sound = np.pad(from_pcm(record["audio"]), (0, hop - 100))
    whole = spectral_shape.whiten(sound, gains)[: len(record["audio"])]
    for seed in range(4):
        plain, cut = (
            function(record, np.random.default_rng(seed), SegmentConfig(samples), *more)
            for function, more in ((cut_segment, ()), (cut_whitened_segment, (config,)))
        )
        np.testing.assert_array_equal(cut["mel"], plain["mel"])
        start = int(np.flatnonzero((mel == plain["mel"][0]).all(axis=1))[0]) * hop
        expected = whole[start : start + samples]
        np.testing.assert_allclose(cut["audio"][: len(expected)], expected, atol=1e-5)
        assert cut["audio"].shape == (samples,) and not cut["audio"][len(expected) :].any()
        taken_out = np.repeat(gains.mean(axis=1), hop)[start : start + len(expected)].sum() / samples
        np.testing.assert_allclose(cut["log_gain"], taken_out, rtol=1e-5)


def speakers(*sexes: str) -> SpeakerTable:
    count = len(sexes)
    return SpeakerTable(
        names=tuple(f"s{i}" for i in range(count)),
        sexes=sexes,
        utterances=np.ones(count, np.int64),
        embeddings=np.repeat(np.arange(count, dtype=np.float32)[:, None], 256, axis=1),
        log_f0_mean=np.zeros(count),
        log_f0_std=np.ones(count),
    )


def test_voices_are_balanced_between_the_sexes_and_labelled():
    table = speakers("male", "female", "female", "unknown", "female")
    batches = take(build(BalancedVoices(table), None, 6, seed=0), 10)
    sexes = np.concatenate([batch["sex"] for batch in batches])
    voices = np.concatenate([batch["embedding"][:, 0] for batch in batches]).astype(int)
    assert sexes.dtype == np.int32 and sexes.mean() == 0.5
    assert set(voices[sexes == 0]) == {0} and np.bincount(voices[sexes == 1]).tolist() == [0, 10, 10, 0, 10]
    with pytest.raises(DataError, match="None of the 2 speakers is female; add a dataset with both sexes"):
        BalancedVoices(speakers("male", "unknown"))


@pytest.mark.parametrize("train", [True, False])
def test_a_table_gives_the_batches_of_its_records_one_by_one(train):
    table = BalancedVoices(speakers("male", "female", "female", "unknown", "female"))
    for process in range(2):
        options = {"process_index": process, "process_count": 2, "train": train, "first_sample": 12 * train}
        at_once = take(build(table, None, 2, 7, **options), 9)
        one_by_one = take(build(table, lambda record, generator: record, 2, 7, **options), 9)
        assert len(at_once) == len(one_by_one) == (9 if train else 2)
        assert_equal_batches(at_once, one_by_one)


def test_refusals():
    with pytest.raises(ConfigError, match="set 1 <= min_frames <= max_frames <= frames"):
        CropConfig(frames=100)
    with pytest.raises(ConfigError, match="set both to at least 1"):
        SegmentConfig(samples=0)
    with pytest.raises(DataError, match="There are no records"):
        speechsplit_pipeline(Records(), CropConfig(), 1, seed=0)
    with pytest.raises(ConfigError, match="batch_size is 0 and process 0 of 1"):
        speechsplit_pipeline(Records(100), CropConfig(), 0, seed=0)


def test_stored_audio_is_what_it_was_but_for_rounding_and_what_was_too_loud():
    audio = np.array([-1.5, -1, -0.25, 0, 1e-3, 1, 2], np.float32)
    decoded = from_pcm(to_pcm(audio))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, np.clip(audio, -1, 1), atol=0.5 / 32767)
