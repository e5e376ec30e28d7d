"""Distributions over mixtures: conjugate priors, their variational M-step, bound and predictive."""
