"""The command `gaussmix`."""
