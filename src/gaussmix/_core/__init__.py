"""The compiled floor: arrays, sizes and thread counts. No policy, nothing that pickles."""
