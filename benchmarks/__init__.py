"""The full benchmark: rivals, targets, charts and report. It is not in the wheel."""
