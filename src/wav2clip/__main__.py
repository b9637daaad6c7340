"""`python -m wav2clip` is the `wav2clip` command."""

from wav2clip.cli.main import run

run()
