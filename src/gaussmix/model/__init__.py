"""A mixture as numbers: parameters, sufficient statistics, scores and the M-step."""
