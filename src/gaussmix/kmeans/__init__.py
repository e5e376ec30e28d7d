"""Hard assignment: nearest centres, k-means++ and Lloyd's iteration."""
