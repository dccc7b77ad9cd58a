"""Golden vectors: what PyTorch computes with random weights, for `scripts/check_parity.py` to compare ours with.

SpeechSplit, its F0 converter and random resampling, and WaveGlow come from checkouts of the originals where they are
given, otherwise from `benchmarks.torch_speechsplit` and `benchmarks.torch_waveglow`, which restate them in plain
PyTorch. VoiceGAN and CodeGAN have no public original; theirs come from `benchmarks.torch_gans`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from benchmarks import originals, torch_gans, torch_speechsplit, torch_waveglow
from evc_jax.files import atomic_file
from evc_jax.models.gan.codegan import CodeGANConfig
from evc_jax.models.gan.losses import CODEGAN_WEIGHTS, VOICEGAN_WEIGHTS
from evc_jax.models.gan.voicegan import VoiceGANConfig
from evc_jax.models.speechsplit.config import EncoderConfig, F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.torch_import.torch_speechsplit import AUTHORS_HPARAMS

Vectors = dict[str, Any]

BATCH, ADAM_RATE, INFER_SIGMA = 4, 1e-4, 0.8
VOICEGAN = VoiceGANConfig(noise_dim=8, embedding_dim=24, generator_widths=(16, 12), discriminator_widths=(12, 16))
CODEGAN = CodeGANConfig(
    code_channels=6,
    emotions=3,
    down_widths=(8, 12, 16),
    up_widths=(14, 10),
    residual_blocks=2,
    discriminator_widths=(8, 12, 16),
    discriminator_kernels=(3, 2, 2),
    discriminator_groups=(2, 1, 1),
)
CODE_FRAMES = 16
WAVEGLOW = WaveGlowConfig(mel_bands=4, flows=3, early_every=2, wn_layers=3, wn_channels=4)
# Numbers of blocks and layers are those that the authors fix.
RHYTHM, PITCH = EncoderConfig(width=6, neck=1, blocks=1), EncoderConfig(width=8, neck=3)
SIZES: Any = {"rhythm": RHYTHM, "pitch": PITCH, "mel_bands": 10, "f0_classes": 13, "group_channels": 2}
SPEECHSPLIT = SpeechSplitConfig(
    content=EncoderConfig(width=12, neck=2, lstm_layers=2), embedding_channels=7, decoder_width=6, **SIZES
)
F0_CONVERTER = F0ConverterConfig(decoder_width=6, **SIZES)


def write_golden(folder: Path, waveglow: Path | None, speechsplit: Path | None, seed: int) -> list[Path]:
    """Writes a file for each network; returns them.

    Args:
      folder: for the files.
      waveglow, speechsplit: checkouts of the originals, or folders with one; None: our restatement.
      seed: of weights and inputs.

    Raises:
      ConfigError: a checkout is none.
    """
    makers: dict[str, Callable[[], Vectors]] = {"voicegan": voicegan_vectors, "codegan": codegan_vectors}
    makers["waveglow"] = lambda: waveglow_vectors(*_waveglow(waveglow))
    networks = _speechsplit(speechsplit)
    makers["speechsplit_generator"] = lambda: generator_vectors(networks.generator())
    makers["speechsplit_f0_converter"] = lambda: f0_converter_vectors(networks.f0_converter())
    makers["speechsplit_random_resampling"] = lambda: resampling_vectors(networks.resample, seed)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, make in makers.items():
        torch.manual_seed(seed)
        arrays = {key: np.asarray(value.detach() if torch.is_tensor(value) else value) for key, value in make().items()}
        written.append(folder / f"{name}.npz")
        with atomic_file(written[-1]) as beside, beside.open("wb") as file:
            np.savez_compressed(file, **arrays)
    return written


def voicegan_vectors() -> Vectors:
    """Of VoiceGAN's networks and losses."""
    generator, critic = torch_gans.VoiceGenerator(VOICEGAN), torch_gans.VoiceDiscriminator(VOICEGAN)
    noise, labels, real_labels = torch.randn(BATCH, VOICEGAN.noise_dim), _labels(2), _labels(2)
    real = functional.normalize(torch.rand(BATCH, VOICEGAN.embedding_dim))
    alpha, weights = torch.rand(BATCH, 1), VOICEGAN_WEIGHTS
    fake = generator(noise, labels)
    vectors = {"z": noise, "labels": labels, "real": real, "real_labels": real_labels, "alpha": alpha, "fake": fake}

    def generator_loss() -> torch.Tensor:
        source, classes = critic(generator(noise, labels))
        return -source.mean() + weights.classification * functional.cross_entropy(classes, labels)

    vectors |= _gan_vectors(generator, critic, real, real_labels, fake.detach(), alpha, weights, None, generator_loss)
    return vectors


def codegan_vectors() -> Vectors:
    """Of CodeGAN's networks and losses; codes are [B, T, C] as in every other file."""
    generator, critic = torch_gans.CodeGenerator(CODEGAN), torch_gans.CodeDiscriminator(CODEGAN)
    codes, labels = torch.randn(BATCH, CODEGAN.code_channels, CODE_FRAMES), _labels(CODEGAN.emotions)
    targets, class_weight = _labels(CODEGAN.emotions), torch.rand(CODEGAN.emotions) + 0.5
    alpha, weights = torch.rand(BATCH, 1, 1), CODEGAN_WEIGHTS
    fake = generator(codes, targets)
    rebuilt = generator(fake, labels)
    vectors = {"codes": codes.mT, "labels": labels, "target_labels": targets, "alpha": alpha}
    vectors |= {"class_weight": class_weight, "fake": fake.mT, "reconstructed": rebuilt.mT}

    def generator_loss() -> torch.Tensor:
        made = generator(codes, targets)
        source, classes = critic(made)
        classification = functional.cross_entropy(classes, targets, class_weight)
        reconstruction = functional.l1_loss(generator(made, labels), codes)
        return -source.mean() + weights.classification * classification + weights.reconstruction * reconstruction

    vectors |= _gan_vectors(
        generator, critic, codes, labels, fake.detach(), alpha, weights, class_weight, generator_loss
    )
    return vectors


def _gan_vectors(generator, critic, real, labels, fake, alpha, weights, class_weight, generator_loss) -> Vectors:
    """Weights, outputs of the critic, both losses and both networks' gradients."""
    vectors: Vectors = {"lambda_cls": weights.classification, "lambda_gp": weights.gradient_penalty}
    vectors["lambda_rec"] = weights.reconstruction
    for name, network in (("generator", generator), ("discriminator", critic)):
        vectors |= {f"params_{name}/{key}": value.clone() for key, value in network.state_dict().items()}
    for kind, samples in (("real", real), ("fake", fake)):
        vectors[f"src_{kind}"], vectors[f"cls_{kind}"] = critic(samples)
    penalty = torch_gans.gradient_penalty(critic, real, fake, alpha)
    classification = functional.cross_entropy(vectors["cls_real"], labels, class_weight)
    d_loss = vectors["src_fake"].mean() - vectors["src_real"].mean()
    d_loss = d_loss + weights.classification * classification + weights.gradient_penalty * penalty
    g_loss = generator_loss()
    vectors |= {"gradient_penalty": penalty, "d_loss": d_loss, "g_loss": g_loss}
    return vectors | _gradients(d_loss, critic, "grads_d") | _gradients(g_loss, generator, "grads_g")


def waveglow_vectors(network: Any, loss_of: Callable) -> Vectors:
    """Of a WaveGlow, the original or ours, in both directions."""
    for coupling in network.WN:  # zeros, with which a training starts, would hide what is before them
        torch.nn.init.normal_(coupling.end.weight, std=0.02)
    frames, hop, early = 6, WAVEGLOW.upsample_stride, WAVEGLOW.early_channels
    mel, audio = torch.randn(2, WAVEGLOW.mel_bands, frames), 0.1 * torch.randn(2, hop * (frames - 2))
    vectors: Vectors = {f"params/{key}": value.clone() for key, value in network.state_dict().items()}
    z, log_s, log_det = network((mel, audio))
    loss = loss_of((z, log_s, [each.clone() for each in log_det]))
    vectors |= {"mel": mel, "audio": audio, "z": z, "loss": loss, "infer_sigma": INFER_SIGMA}
    vectors |= {"log_s_sum": torch.stack([each.sum() for each in log_s]), "log_det_W": torch.stack(log_det)}
    vectors |= _gradients(loss, network, "grads")
    channels = [WAVEGLOW.channels(WAVEGLOW.flows - 1)]
    channels += [early for flow in range(WAVEGLOW.flows) if WAVEGLOW.leaves_early(flow)]
    with originals.on_cpu(), torch.no_grad():
        torch.manual_seed(1)
        vectors["infer_audio"] = network.infer(mel, INFER_SIGMA)
        torch.manual_seed(1)  # the same draws again
        for number, count in enumerate(channels):
            noise = torch.FloatTensor(2, count, frames * hop // WAVEGLOW.group_samples)
            vectors[f"infer_noise_{number}"] = noise.normal_()
        vectors["infer_audio_sigma0"] = network.infer(mel, 0.0)
    return vectors


def generator_vectors(network: Any) -> Vectors:
    """Of SpeechSplit's autoencoder without random resampling, and after a step of Adam."""
    mel, f0, index = _speech(SPEECHSPLIT)
    embedding = functional.normalize(torch.rand(len(mel), SPEECHSPLIT.embedding_channels))
    vectors: Vectors = {"hparams": _hparams(SPEECHSPLIT), "mel": mel, "f0_onehot": f0, "f0_index": index}
    vectors |= {f"params/{key}": value.clone() for key, value in network.state_dict().items()}
    content, pitch = network.encoder_1(torch.cat((mel, f0), dim=-1).mT)
    vectors |= {"codes_content": content, "codes_pitch": pitch, "codes_rhythm": network.rhythm(mel)}
    rebuilt = network(torch.cat((mel, f0), dim=-1), mel, embedding)
    loss = functional.mse_loss(rebuilt, mel)
    vectors |= {"speaker_embedding": embedding, "mel_out": rebuilt.clone(), "loss": loss.clone()}
    optimizer = torch.optim.Adam(network.parameters(), ADAM_RATE)
    vectors |= _gradients(loss, network, "grads")
    for name, parameter in network.named_parameters():
        parameter.grad = vectors[f"grads/{name}"].clone()
    optimizer.step()
    return vectors | {f"after_adam/{name}": value.clone() for name, value in network.named_parameters()}


def f0_converter_vectors(network: Any) -> Vectors:
    """Of the F0 converter."""
    mel, f0, index = _speech(F0_CONVERTER)
    vectors: Vectors = {"hparams": _hparams(F0_CONVERTER), "mel": mel, "f0_onehot": f0, "f0_index": index}
    vectors |= {f"params/{key}": value.clone() for key, value in network.state_dict().items()}
    logits = network(mel, f0)
    loss = functional.cross_entropy(logits.mT, index)
    return vectors | {"logits": logits, "loss": loss} | _gradients(loss, network, "grads")


def resampling_vectors(resample: Callable, seed: int) -> Vectors:
    """Of the random resampling, with what it drew."""
    config = SPEECHSPLIT.resampling
    lengths = torch.tensor([config.max_length_frames, 100, 77, 64])
    x = torch.randn(len(lengths), config.padded_frames, 7)
    torch.manual_seed(seed)
    y = resample(x, lengths)
    torch.manual_seed(seed)  # the same draws again
    scales, segments = torch_speechsplit.draw_resampling(len(lengths), config)
    drawn = {"scales": scales, "len_seg": segments[:, None]}
    return {"hparams": _hparams(SPEECHSPLIT), "x": x, "lengths": lengths, **drawn, "y": y}


class _Networks(NamedTuple):
    """Makers of the networks, which draw their weights, and the random resampling of x [B, T, C], lengths [B]."""

    generator: Callable[[], Any]
    f0_converter: Callable[[], Any]
    resample: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _speechsplit(checkout: Path | None) -> _Networks:
    if checkout is None:
        return _Networks(
            lambda: torch_speechsplit.SpeechSplit(SPEECHSPLIT),
            lambda: torch_speechsplit.F0Converter(F0_CONVERTER),
            lambda x, lengths: torch_speechsplit.random_resample(
                x, lengths, *torch_speechsplit.draw_resampling(len(x), SPEECHSPLIT.resampling), SPEECHSPLIT.resampling
            ),
        )
    model, hparams = originals.speechsplit_modules(checkout)
    generator, converter = (
        SimpleNamespace(**{**hparams.values(), **originals.speechsplit_sizes(config)})
        for config in (SPEECHSPLIT, F0_CONVERTER)
    )
    return _Networks(
        lambda: _narrow(model, model.Generator_3(generator), SPEECHSPLIT),
        lambda: _narrow(model, model.Generator_6(converter), F0_CONVERTER),
        model.InterpLnr(generator).train(),
    )


def _waveglow(checkout: Path | None) -> tuple[Any, Callable]:
    """The network and its loss."""
    if checkout is None:
        return torch_waveglow.WaveGlow(WAVEGLOW).apply_norm(), torch_waveglow.waveglow_loss
    return originals.waveglow(checkout, WAVEGLOW), originals.waveglow_module(checkout).WaveGlowLoss()


def _narrow(model: Any, network: Any, config: SpeechSplitConfig | F0ConverterConfig) -> Any:
    """The original with a decoder of our width, which the authors fix; files would be 200 MB."""
    decoder, width = network.decoder, config.decoder_width
    before, outputs = decoder.lstm, decoder.linear_projection.linear_layer.out_features
    decoder.lstm = torch.nn.LSTM(before.input_size, width, before.num_layers, batch_first=True, bidirectional=True)
    decoder.linear_projection = model.LinearNorm(2 * width, outputs)
    return network.eval()


def _hparams(config: SpeechSplitConfig | F0ConverterConfig) -> str:
    """What shapes do not tell, by the authors' names, as JSON."""
    sizes = originals.speechsplit_sizes(config)
    return json.dumps({name: value for name, value in sizes.items() if name in AUTHORS_HPARAMS})


def _speech(config: SpeechSplitConfig | F0ConverterConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random mel, F0 as one of its classes per frame, and the number of the class."""
    frames, classes = config.resampling.padded_frames, config.f0_classes
    index = torch.randint(classes, (2, frames))
    return torch.rand(2, frames, config.mel_bands), functional.one_hot(index, classes).float(), index


def _labels(count: int) -> torch.Tensor:
    return torch.randint(count, (BATCH,))


def _gradients(loss: torch.Tensor, network: torch.nn.Module, group: str) -> Vectors:
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
    return {f"{group}/{name}": value for name, value in zip(names, gradients, strict=True)}
