"""The public classes `GaussianMixture`, `BayesianGaussianMixture` and `KMeans`."""
