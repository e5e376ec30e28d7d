"""The EM loop and its kin: accelerated, online, incremental, truncated EM, runs, checkpoints."""
