"""What a fit reads: rows in memory, from files, or on a Dask cluster."""
