"""Pictures: of mixtures and cells, of criteria and fits, of trees. Drawn with matplotlib."""
