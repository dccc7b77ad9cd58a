"""A recording and options in, a recording out."""
