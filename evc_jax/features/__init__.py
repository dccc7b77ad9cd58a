"""What the networks and the renderer know of a recording."""

EMBEDDING_DIM = 256  # numbers of a speaker embedding
