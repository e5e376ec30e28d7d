"""How many components, and of which covariance type."""
