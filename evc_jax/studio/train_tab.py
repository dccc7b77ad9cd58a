"""The tab Train: a training is chosen, started, watched, stopped, resumed and bundled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.context import get_render_context

from evc_jax.errors import ConfigError
from evc_jax.extras import missing_modules
from evc_jax.pretrained.description import NETWORKS
from evc_jax.pretrained.workdir import saved_steps
from evc_jax.studio import training_views as views
from evc_jax.studio.events import PRIVATE, guarded
from evc_jax.studio.players import notice_html
from evc_jax.studio.training_samples import Sample, SampleReader
from evc_jax.studio.trainings import Trainings, setting_words
from evc_jax.studio.work_directory import WorkDirectory

REFRESH_S = 2.5
LOG_LINES = 30
NO_DATASET = "There is no prepared dataset yet. Make one on the command line: `evc prepare ravdess FOLDER`."
NO_LIBRARIES = "What trainings need is not installed; run `pip install 'evc_jax[train]'` and start the studio again."
INTRODUCTION = (
    "A training here is that of the command line (`evc train`): it runs on when this page or the studio is "
    "closed, and either of them stops and resumes what the other has started."
)
_PARTS = ("progress", "losses", "log", "samples")
_SILENT: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}
NUMBERS = {"steps": "Steps", "minutes": "Minutes", "batch_size": "Batch size", "seed": "Seed"}


@dataclass
class Watching:
    """What the page of one session shows now, so that only what has changed is sent again."""

    shown: dict[str, Any] = field(default_factory=dict)

    def changed(self, part: str, value: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives where the value of this part is another one, else nothing to update."""
        if part in self.shown and self.shown[part] == value:
            return gr.skip()
        self.shown[part] = value
        return make()


class Samples:
    """URLs of the newest samples of all trainings that are watched."""

    def __init__(self, outputs: Any):
        self._outputs = outputs
        self._readers: dict[str, SampleReader] = {}
        self._urls: dict[tuple[str, str], tuple[Sample, str]] = {}
        self._lock = threading.Lock()

    def read(self, run: WorkDirectory) -> tuple[list[Sample], dict[str, str]]:
        """The samples of a training, and their URLs by tag."""
        with self._lock:
            samples = self._readers.setdefault(run.name, SampleReader(run.path)).read()
            return samples, {sample.tag: self._url(run.name, sample) for sample in samples}

    def _url(self, name: str, sample: Sample) -> str:
        before, url = self._urls.get((name, sample.tag), (None, ""))
        if before != sample or self._outputs.file_of(url) is None:
            url = self._outputs.add(sample.tag.replace("/", "-") + sample.suffix, sample.data)
            self._urls[name, sample.tag] = sample, url
        return url


def build(studio: Any) -> None:
    """Makes the components of the tab, inside its `gr.Tab`."""
    settings = studio.settings
    if missing_modules("train"):
        gr.Markdown(NO_LIBRARIES)
        return
    trainings = Trainings(settings.data_dir, settings.runs_dir, settings.configs_dir)
    gr.Markdown(INTRODUCTION)
    form = _new_training(trainings)
    table = gr.HTML(views.table_html(trainings.runs().values()), elem_id="trainings", js_on_load=None)
    watched = gr.Dropdown(
        list(trainings.runs()), value=None, label="Watched training", elem_id="watched-training", interactive=True
    )
    with gr.Row():
        stop, resume = gr.Button("Stop", elem_id="stop-training"), gr.Button("Resume", elem_id="resume-training")
    info = "as on the command line; empty for those it has"
    changes = gr.Textbox(label="Changed settings for Resume", info=info, placeholder="--config.steps=8000")
    message = gr.HTML(js_on_load=None, elem_id="training-message")
    parts = [gr.HTML(js_on_load=None, elem_id=f"training-{name}") for name in _PARTS]
    bundle = _bundle(studio, trainings)
    look = _look(trainings, Samples(studio.outputs), watched, table, parts)
    _connect_form(trainings, form, message, watched)
    _connect_run(trainings, watched, stop, resume, changes, message, look)
    _connect_selection(trainings, form.datasets, watched, bundle, look)


def _look(trainings: Trainings, samples: Samples, watched: gr.Dropdown, table: gr.HTML, parts: list[gr.HTML]) -> dict:
    """The event that brings what is shown up to date."""
    state = gr.State(Watching())

    @guarded
    def refresh(name: str | None, watching: Watching) -> list[Any]:
        shown = views.table_html(trainings.runs().values())
        return [watching, watching.changed("table", shown, lambda: shown), *_shown(trainings, samples, name, watching)]

    return {"fn": refresh, "inputs": [watched, state], "outputs": [state, table, *parts], **_SILENT}


def _shown(trainings: Trainings, samples: Samples, name: str | None, watching: Watching) -> list[Any]:
    """What is new of each of `_PARTS` of the watched training."""
    run = trainings.runs().get(name or "")
    if run is None:
        return [watching.changed(part, None, str) for part in _PARTS]
    progress, records = views.progress_html(run), run.metrics()
    log = trainings.without_paths(run.log(LOG_LINES))
    made, urls = samples.read(run)
    return [
        watching.changed("progress", (name, progress), lambda: progress),
        watching.changed("losses", (name, records), lambda: views.losses_html(records)),
        watching.changed("log", (name, log), lambda: views.log_html(log)),
        watching.changed("samples", (name, urls), lambda: views.samples_html(made, urls)),
    ]


def _connect_form(trainings: Trainings, form: Form, message: gr.HTML, watched: gr.Dropdown) -> None:
    @guarded
    def start(config: str, datasets: list[str], name: str, text: str, *numbers: str) -> tuple[str, Any]:
        given = zip(NUMBERS, numbers, strict=True)
        words = [f"--config.{key}={number.strip()}" for key, number in given if number.strip()]
        trainings.start(name.strip(), config, datasets, [*words, *setting_words(text)])
        return notice_html(f"{name.strip()} was started."), gr.update(
            choices=list(trainings.runs()), value=name.strip()
        )

    inputs = [form.config, form.datasets, form.name, form.words, *form.numbers]
    form.start.click(start, inputs, [message, watched], **PRIVATE)


def _connect_run(
    trainings: Trainings,
    watched: gr.Dropdown,
    stop: gr.Button,
    resume: gr.Button,
    changes: gr.Textbox,
    message: gr.HTML,
    look: dict[str, Any],
) -> None:
    @guarded
    def stopped(name: str | None) -> Iterator[str]:
        yield notice_html(f"{_chosen(name)} is asked to save and to end.")
        ended = trainings.stop(_chosen(name))
        yield notice_html(f"{name} was stopped." if ended else f"{name} will end after its present step.")

    @guarded
    def resumed(name: str | None, text: str) -> str:
        trainings.resume(_chosen(name), setting_words(text))
        return notice_html(f"{name} was resumed.")

    stop.click(stopped, watched, message, **PRIVATE).then(**look)
    resume.click(resumed, [watched, changes], message, **PRIVATE).then(**look)


def _connect_selection(
    trainings: Trainings, datasets: gr.Dropdown, watched: gr.Dropdown, bundle: Bundling, look: dict[str, Any]
) -> None:
    """The lists are read again whenever the tab is opened; while it is closed, nothing is asked of the server."""
    timer = gr.Timer(REFRESH_S, active=False)
    timer.tick(**look)
    watched.change(lambda name: gr.Timer(active=bool(name)), watched, timer, **_SILENT).then(**look)

    @guarded
    def opened() -> list[Any]:
        lists = trainings.datasets(), list(trainings.runs())
        return [*(gr.update(choices=names) for names in lists), *bundle.fitting()]

    tab = get_render_context()
    if isinstance(tab, gr.Tab) and isinstance(tab.parent, gr.Tabs):
        label = tab.label

        def other_tab(name: str | None, event: gr.SelectData) -> gr.Timer:
            return gr.Timer(active=bool(name) and event.value == label)

        tab.select(opened, None, [datasets, watched, *bundle.runs], **_SILENT).then(**look)
        tab.parent.select(other_tab, watched, timer, **_SILENT)


def _chosen(name: str | None) -> str:
    if not name:
        raise ConfigError("No training is chosen; choose one in the list of the watched training.")
    return name


@dataclass(frozen=True)
class Form:
    """The components of a new training."""

    datasets: gr.Dropdown
    config: gr.Dropdown
    name: gr.Textbox
    numbers: list[gr.Textbox]
    words: gr.Textbox
    start: gr.Button


def _new_training(trainings: Trainings) -> Form:
    with gr.Accordion("New training", open=not trainings.runs(), elem_id="new-training"):
        there = trainings.datasets()
        if not there:
            gr.Markdown(NO_DATASET)
        datasets = gr.Dropdown(there, multiselect=True, label="Datasets", elem_id="datasets", interactive=True)
        configs = _configs(trainings)
        config = gr.Dropdown(configs, label="Config and variant", elem_id="config", interactive=True)
        name = gr.Textbox(label="Name", placeholder="speechsplit", max_length=64, elem_id="training-name")
        with gr.Row():
            # Text, as an empty `gr.Number` sends 0.
            numbers = [gr.Textbox(label=label, placeholder="the config's", min_width=120) for label in NUMBERS.values()]
        info = "as on the command line; what is left empty is the config's"
        example = "--config.options.speechsplit=speechsplit --config.options.code=pitch"
        words = gr.Textbox(label="Further settings", info=info, placeholder=example, elem_id="training-settings")
        start = gr.Button("Start", variant="primary", elem_id="start-training")
    return Form(datasets, config, name, numbers, words, start)


def _configs(trainings: Trainings) -> list[tuple[str, str]]:
    try:
        return [(config.replace(".py:", ": "), config) for config in trainings.configs]
    except ConfigError as error:
        gr.Markdown(str(error))
        return []


@dataclass(frozen=True)
class Bundling:
    """One list of trainings for each network, and what fills them."""

    runs: list[gr.Dropdown]
    fitting: Callable[[], list[Any]]


def _bundle(studio: Any, trainings: Trainings) -> Bundling:
    def fitting() -> list[Any]:
        runs = [run for run in trainings.runs().values() if saved_steps(run.path)]
        names = [[run.name for run in runs if run.system == network] for network in NETWORKS]
        return [gr.update(choices=[("none", ""), *fit], visible=bool(fit)) for fit in names]

    @guarded
    def bundled(name: str, checkpoint: str, is_completed: bool, *chosen: str) -> str:
        networks = {network: run for network, run in zip(NETWORKS, chosen, strict=True) if run}
        base = studio.bundle.path if is_completed else None
        description = trainings.bundle(name.strip(), networks, checkpoint=checkpoint, base=base)
        place = f"{trainings.runs_name}/{name.strip()}"
        return notice_html(f"{place} has {', '.join(description['networks'])}. To use it: evc studio --bundle {place}")

    with gr.Accordion("Bundle", open=False, elem_id="bundle-trainings"):
        gr.Markdown("A bundle is what converts. Choose a training for each network that is to be replaced.")
        runs = [
            gr.Dropdown(each["choices"], value="", label=network, visible=each["visible"], interactive=True)
            for network, each in zip(NETWORKS, fitting(), strict=True)
        ]
        checkpoint = gr.Radio(["last", "best"], value="last", label="Checkpoint of each training")
        completed = gr.Checkbox(True, label="The other networks are those of the studio's bundle")
        name = gr.Textbox(label="Name of the bundle", placeholder="my_bundle", max_length=64, elem_id="bundle-name")
        button = gr.Button("Bundle", elem_id="bundle")
        message = gr.HTML(js_on_load=None, elem_id="bundle-message")
    button.click(bundled, [name, checkpoint, completed, *runs], message, **PRIVATE)
    return Bundling(runs, fitting)
