"""What all processes of a training must have in common, compared before the first step."""

from __future__ import annotations

import secrets
import time
from typing import Any

from etils import epath
from flax import traverse_util

from evc_jax.config import to_mapping
from evc_jax.data.dataset import dataset_digest
from evc_jax.errors import ConfigError
from evc_jax.training.config import TrainConfig
from evc_jax.training.processes import Group
from evc_jax.training.start_log import versions

# Hosts may keep copies of a dataset in different places and read them with different numbers of threads.
OF_A_HOST = ("config.data.data_dir", "config.data.read_threads")
# A network file system may show a new file to the other hosts so much later.
VISIBLE_WITHIN_S = 10.0


def check_together(config: TrainConfig, workdir: epath.Path, group: Group) -> None:
    """Whether all processes train the same, from the same data into the same folder.

    Raises:
      ConfigError: they do not; every process raises it, with the same sentence.
    """
    if group.count > 1:
        check_same(group, settings(config, group.count))
        check_shared(group, workdir)


def settings(config: TrainConfig, count: int) -> dict[str, Any]:
    """What must be the same on all processes, flat: the config, versions of packages, digests of datasets."""
    digests = {name: dataset_digest(config.data.data_dir, name) for name in config.data.datasets}
    groups = {"config": to_mapping(config), "version": versions(), "digest of dataset": digests}
    flat = traverse_util.flatten_dict(groups, keep_empty_nodes=False, sep=".")
    return {"number of processes": count} | {key: value for key, value in flat.items() if key not in OF_A_HOST}


def check_same(group: Group, own: dict[str, Any]) -> None:
    """Whether all processes have the same settings.

    Raises:
      ConfigError: one has others than process 0; the first such process and its first difference are named.
    """
    first: dict[str, Any] = {}
    for index, values in enumerate(group.collect("settings", own)):
        first = first or values
        differing = [key for key in first | values if first.get(key) != values.get(key)]
        if differing:
            key, *others = differing
            more = f" (and {len(others)} more: {', '.join(others)})" if others else ""
            raise ConfigError(
                f"Process {index} has {key} {values.get(key)} where process 0 has {first.get(key)}{more}; start all "
                "processes with the same command, data and packages."
            )


def check_shared(group: Group, workdir: epath.Path) -> None:
    """Whether the work directory is one folder for all processes; each other process must see a file of process 0.

    Raises:
      ConfigError: a process sees another folder.
    """
    if "://" in str(workdir):
        return
    workdir.mkdir(parents=True, exist_ok=True)
    token = workdir / f".processes-{secrets.token_hex(8)}"
    if group.index == 0:
        token.touch()
    try:
        token = workdir / group.share("token", token.name)[0]
        end_s = time.monotonic() + VISIBLE_WITHIN_S
        while not (seen := token.exists()) and time.monotonic() < end_s:
            time.sleep(0.1)
        blind = [index for index, sees in enumerate(group.share("token seen", seen)) if not sees]
    finally:
        if group.index == 0:
            token.unlink(missing_ok=True)
    if blind:
        raise ConfigError(
            f"The work directory {workdir} of process {blind[0]} is another folder than that of process 0; give a "
            "--workdir that all hosts share, on a network disk or gs://."
        )


def first_failure(group: Group, name: str, reason: str) -> str:
    """Why something failed that every process tried, "" where it did on none.

    Args:
      name: of what was tried; see `Group.collect`.
      reason: why it failed here, "" where it did not.
    """
    reasons = group.share(name, reason)
    failed = [index for index, found in enumerate(reasons) if found]
    if not failed:
        return ""
    return reasons[failed[0]] if group.count == 1 else f"process {failed[0]}: {reasons[failed[0]]}"
