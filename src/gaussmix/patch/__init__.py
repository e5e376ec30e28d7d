"""Our classes in scikit-learn's places, for programs and libraries that name scikit-learn's."""
