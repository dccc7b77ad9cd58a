"""`evc completion`: a script with which a shell completes the `evc` command. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse

EPILOG = """\
examples:
  evc completion bash > ~/.local/share/bash-completion/completions/evc
  evc completion zsh > "${fpath[1]}/_evc"

From the next shell on, the Tab key completes commands, options, emotions and files."""

SHELLS = ("bash", "zsh", "tcsh")
_FOLDERS = ("DIR", "FOLDER", "WORKDIR", "BUNDLE")
_FILES = ("INPUT", "RECORDING", "FILE", "SOURCE.wav", "TARGET.wav", "A.wav", "B.wav", "PIECE")
_FILE_OPTIONS = ("output", "voice")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that the script is for")


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Prints the script for the commands of `parser`."""
    import shtab

    from evc_jax.pretrained.bundle import load_bundle

    for action in _actions(parser):
        if action.dest == "emotion":
            action.choices = list(load_bundle().emotions)
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.metavar in _FILES or action.dest in _FILE_OPTIONS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a parser and of its commands."""
    found = []
    for action in parser._actions:
        found.append(action)
        for command in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            found += _actions(command)
    return found
