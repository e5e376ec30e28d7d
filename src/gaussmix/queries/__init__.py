"""What a fitted mixture knows: conditionals, samples, quantiles, regions, hierarchy."""
