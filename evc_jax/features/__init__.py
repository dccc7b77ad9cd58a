"""What the networks and the renderer know of a recording."""
