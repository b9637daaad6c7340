"""Beyond one machine: the same embeddings, computed by the workers of a Ray cluster."""
