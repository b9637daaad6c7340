"""Pre-training: pairs of sound and CLIP embeddings, and the encoder that learns from them."""
