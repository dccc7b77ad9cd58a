"""The `evc` command."""
