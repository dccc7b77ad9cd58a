"""One comparison per kind of golden file: the originals' weights and inputs through our networks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from evc_jax.models.gan import losses as gan_losses
from evc_jax.models.gan.codegan import CodeDiscriminator, CodeGenerator
from evc_jax.models.gan.voicegan import VoiceDiscriminator, VoiceGenerator
from evc_jax.models.network import Network, Params
from evc_jax.models.speechsplit.network import F0Converter, SpeechSplit
from evc_jax.models.speechsplit.random_resampling import Resampling, random_resample
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow, waveglow_loss
from evc_jax.models.waveglow.synthesis import synthesize
from evc_jax.torch_import import torch_gans, torch_speechsplit, torch_waveglow
from evc_jax.torch_import.parity import Golden, Report, within
from evc_jax.torch_import.torch_names import State, Weight, from_torch, to_torch

ADAM_RATE = 1e-4
CANCELLATION_FLOOR = 1e-2
COMPUTE_DTYPE = "compute_dtype"


def check_speechsplit(golden: Golden) -> Report:
    """Codes, reconstruction, MSE, gradients, and the weights after one Adam step."""
    config = _like(torch_speechsplit.speechsplit_config(within(golden, "params"), _hparams(golden)), golden)
    weights = torch_speechsplit.speechsplit_weights(config)
    params = from_torch(within(golden, "params"), weights)
    network, report = Network(SpeechSplit, config), Report()
    mel, f0, embedding = (jnp.asarray(golden[k]) for k in ("mel", "f0_onehot", "speaker_embedding"))

    codes = jax.jit(lambda p: network.apply(p, mel, f0, method="encode"))(params)
    for name in ("content", "pitch", "rhythm"):
        report.output(f"codes_{name}", getattr(codes, name), golden[f"codes_{name}"])

    def loss_of(p):
        output = network.apply(p, mel, f0, embedding)
        return jnp.mean((output - mel) ** 2), output

    report.output("mel_out", _compare_loss(report, loss_of, [params], weights, golden), golden["mel_out"])
    if within(golden, "after_adam"):
        _compare_adam_step(report, params, weights, golden)
    return report


def check_f0_converter(golden: Golden) -> Report:
    """Logits, cross-entropy, gradients."""
    config = _like(torch_speechsplit.f0_converter_config(within(golden, "params"), _hparams(golden)), golden)
    weights = torch_speechsplit.f0_converter_weights(config)
    params = from_torch(within(golden, "params"), weights)
    network, report = Network(F0Converter, config), Report()
    mel, f0, classes = (jnp.asarray(golden[k]) for k in ("mel", "f0_onehot", "f0_index"))

    def loss_of(p):
        logits = network.apply(p, mel, f0)
        return optax.softmax_cross_entropy_with_integer_labels(logits, classes).mean(), logits

    report.output("logits", _compare_loss(report, loss_of, [params], weights, golden), golden["logits"])
    return report


def check_random_resampling(golden: Golden) -> Report:
    """The stretched sequences from the recorded draws."""
    config = torch_speechsplit.resampling_config(_hparams(golden))
    x, report = jnp.asarray(golden["x"]), Report()
    shape = (x.shape[0], -1)
    scales, lengths = (jnp.asarray(golden[name].reshape(shape)) for name in ("scales", "len_seg"))
    draws = Resampling(scales, lengths, jnp.ones(shape[0], bool))
    report.output("y", random_resample(x, jnp.asarray(golden["lengths"]), draws, config), golden["y"])
    return report


def check_voicegan(golden: Golden) -> Report:
    """Fakes, outputs of the discriminator, gradient penalty, both losses and both networks' gradients."""
    config = _like(torch_gans.voicegan_config(*_gan_states(golden)), golden)
    nets = gan_losses.GanNetworks(Network(VoiceGenerator, config), Network(VoiceDiscriminator, config))
    listed = torch_gans.voice_generator_weights(config), torch_gans.voice_discriminator_weights(config)
    weights = gan_losses.GanWeights(float(golden["lambda_cls"]), float(golden["lambda_gp"]))
    noise, labels, real, real_labels = (jnp.asarray(golden[k]) for k in ("z", "labels", "real", "real_labels"))
    alpha = jnp.asarray(golden["alpha"]).reshape(-1)

    def d_loss(d, g):
        fake = gan_losses.voices(nets, g, noise, labels)
        return gan_losses.critic_loss(lambda x: nets.discriminator.apply(d, x), real, real_labels, fake, alpha, weights)

    def g_loss(g, d):
        return gan_losses.voicegan_generator_loss(nets, g, d, noise, labels, weights)

    report, g_params = _compare_gan(nets, d_loss, g_loss, listed, real, golden)
    fake = jax.jit(lambda g: gan_losses.voices(nets, g, noise, labels))(g_params)
    report.output("fake", fake, golden["fake"])
    return report


def check_codegan(golden: Golden) -> Report:
    """Fakes, cycle, outputs of the discriminator, gradient penalty, both losses and both networks' gradients."""
    config = _like(torch_gans.codegan_config(*_gan_states(golden)), golden)
    nets = gan_losses.GanNetworks(Network(CodeGenerator, config), Network(CodeDiscriminator, config))
    listed = torch_gans.code_generator_weights(config), torch_gans.code_discriminator_weights(config)
    weights = gan_losses.GanWeights(*(float(golden[f"lambda_{name}"]) for name in ("cls", "gp", "rec")))
    codes, labels, targets = (jnp.asarray(golden[k]) for k in ("codes", "labels", "target_labels"))
    alpha, class_weights = jnp.asarray(golden["alpha"]).reshape(-1), jnp.asarray(golden["class_weight"])
    label_weights, target_weights = (gan_losses.sample_weights(class_weights, of) for of in (labels, targets))

    def d_loss(d, g):
        fake, discriminate = gan_losses.converted(nets, g, codes, targets), lambda x: nets.discriminator.apply(d, x)
        return gan_losses.critic_loss(discriminate, codes, labels, fake, alpha, weights, label_weights)

    def g_loss(g, d):
        return gan_losses.codegan_generator_loss(nets, g, d, codes, labels, targets, target_weights, weights)

    report, g_params = _compare_gan(nets, d_loss, g_loss, listed, codes, golden)
    convert = jax.jit(lambda x, y: gan_losses.converted(nets, g_params, x, y))
    fake = convert(codes, targets)
    report.output("fake", fake, golden["fake"])
    report.output("reconstructed", convert(fake, labels), golden["reconstructed"])
    return report


def check_waveglow(golden: Golden) -> Report:
    """Both directions: latent, log-determinants, loss, gradients; audio from the recorded noise and from none."""
    mel = jnp.asarray(golden["mel"]).swapaxes(1, 2)
    state = torch_waveglow.in_latest_form(within(golden, "params"))
    stride = _hop_samples(torch_waveglow.waveglow_config(state), golden["infer_audio"].shape[1], mel.shape[1])
    config = _like(torch_waveglow.waveglow_config(state, stride), golden)
    weights = torch_waveglow.waveglow_weights(config)
    params = from_torch(state, weights)
    network, report = Network(WaveGlow, config), Report()
    audio = jnp.asarray(golden["audio"])

    def loss_of(p):
        output = network.apply(p, audio, mel)
        return waveglow_loss(output), output

    # The terms of the loss may cancel; what remains can only be as exact as they are.
    floor = CANCELLATION_FLOOR * float(np.mean(golden["z"] ** 2)) / 2
    output = _compare_loss(report, loss_of, [params], weights, golden, floor=floor)
    report.output("z", output.z.swapaxes(1, 2), golden["z"])
    report.output("log_s_sum", output.log_s_sum, golden["log_s_sum"])
    # Orthonormal matrices have a log-determinant of zero give or take a rounding: the determinants can be compared.
    steps = output.z.shape[0] * output.z.shape[1]
    report.output("det_W", jnp.exp(output.log_det_w / steps), np.exp(golden["log_det_W"] / steps))

    keys = sorted((k for k in golden if k.startswith("infer_noise_")), key=lambda k: int(k.rpartition("_")[2]))
    noise = tuple(jnp.asarray(golden[key]).swapaxes(1, 2) for key in keys)
    synthesis = jax.jit(lambda p: network.apply(p, method="synthesis_weights"))(params)
    infer = jax.jit(lambda sigma: synthesize(synthesis, config, mel, noise, sigma))
    report.output("infer_audio", infer(float(golden["infer_sigma"])), golden["infer_audio"])
    report.output("infer_audio_sigma0", infer(0.0), golden["infer_audio_sigma0"])
    return report


def _hop_samples(config: WaveGlowConfig, samples: int, frames: int) -> int:
    """The hop of a synthesis, which makes whole groups of samples only; it leaves no trace in a state.

    Several hops may lead to as many groups: one that divides the kernel of the upsampling is preferred, as it makes
    every frame last as long; otherwise the smallest is taken.
    """
    fitting = range(-(-samples // frames), (samples + config.group_samples - 1) // frames + 1)
    return next((hop for hop in fitting if config.upsample_kernel % hop == 0), fitting[0])


def _hparams(golden: Golden) -> dict[str, int]:
    return json.loads(str(golden["hparams"])) if "hparams" in golden else {}


def _gan_states(golden: Golden) -> tuple[State, State]:
    return within(golden, "params_generator"), within(golden, "params_discriminator")


def _like(config, golden: Golden):
    """The config with arithmetic in the type of the golden weights, or in the one that `golden` names."""
    dtypes = {str(value.dtype) for key, value in golden.items() if key.startswith("params")}
    of_weights = "float64" if "float64" in dtypes else "float32"
    return dataclasses.replace(config, dtype=str(golden.get(COMPUTE_DTYPE, of_weights)))


def _compare_adam_step(report: Report, params: Params, weights: list[Weight], golden: Golden) -> None:
    """One step from the golden gradients: where a gradient is mere rounding, Adam makes a full step of its sign."""
    optimizer, expected = optax.adam(ADAM_RATE), within(golden, "after_adam")
    grads = from_torch(within(golden, "grads"), weights)

    @jax.jit
    def step(params, grads):
        return optax.apply_updates(params, optimizer.update(grads, optimizer.init(params), params)[0])

    stepped = to_torch(step(params, grads), weights)
    for name in sorted(set(expected) & set(stepped)):
        report.output(f"after_adam/{name}", stepped[name], expected[name])


def _compare_loss(
    report: Report,
    loss_of: Callable,
    params: list[Params],
    weights: list[Weight],
    golden: Golden,
    of: str = "",
    floor: float = 0.0,
) -> Any:
    """Compares a loss and the gradients of the first of `params`; returns what `loss_of` gives with the loss."""
    (loss, output), grads = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(*params)
    name, group = (f"{of}_loss", f"grads_{of}") if of else ("loss", "grads")
    report.loss(name, loss, golden[name], floor)
    report.gradients(grads, weights, golden, group)
    return output


def _compare_gan(
    nets: gan_losses.GanNetworks,
    d_loss: Callable,
    g_loss: Callable,
    weights: tuple[list[Weight], list[Weight]],
    real: Array,
    golden: Golden,
) -> tuple[Report, Params]:
    """Compares the discriminator's outputs and both losses; returns the generator's parameters with the report."""
    report = Report()
    g_params, d_params = (from_torch(*pair) for pair in zip(_gan_states(golden), weights, strict=True))
    discriminate = jax.jit(nets.discriminator.apply)
    for kind, samples in (("real", real), ("fake", golden["fake"])):
        output = discriminate(d_params, samples)
        report.output(f"src_{kind}", output.source, golden[f"src_{kind}"])
        report.output(f"cls_{kind}", output.classes, golden[f"cls_{kind}"])
    metrics = _compare_loss(report, d_loss, [d_params, g_params], weights[1], golden, "d")
    report.loss("gradient_penalty", metrics["gradient_penalty"], golden["gradient_penalty"])
    _compare_loss(report, g_loss, [g_params, d_params], weights[0], golden, "g")
    return report, g_params


CHECKS: dict[str, Callable[[Golden], Report]] = {
    "speechsplit_generator.npz": check_speechsplit,
    "speechsplit_f0_converter.npz": check_f0_converter,
    "speechsplit_random_resampling.npz": check_random_resampling,
    "voicegan.npz": check_voicegan,
    "codegan.npz": check_codegan,
    "waveglow.npz": check_waveglow,
}


def check_file(path: Path) -> Report | None:
    """Checks one golden file; None if it holds no network.

    Where rounding puts a rectifier's input on the other side of zero, gradients differ although both are right. A file
    that is past its tolerance is therefore checked once more in float64; the report says which it is.
    """
    check = CHECKS.get(path.name)
    if check is None:
        return None
    golden = _read(path)
    with jax.default_matmul_precision("highest"):
        report = check(golden)
        if report.passed:
            return report
        with jax.enable_x64(True):
            wide = {key: value.astype(np.float64) for key, value in golden.items() if value.dtype == np.float32}
            again = check(golden | wide)
    again.in_float32 = report
    return again


def check_in_bfloat16(path: Path) -> Report | None:
    """Compares a golden file with networks whose arithmetic is bfloat16; None if it holds no network."""
    check = CHECKS.get(path.name)
    return check and check({**_read(path), COMPUTE_DTYPE: np.array("bfloat16")})


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
