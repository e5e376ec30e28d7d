"""The public classes `GaussianMixture` and `KMeans`."""
