"""What `gaussmix bench` times on a user's machine."""
