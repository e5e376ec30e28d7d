"""The EM loop and its kin: accelerated, online and incremental EM, runs and checkpoints."""
