"""`evc serve`: conversions over HTTP. Needs the extra `serve`; nothing else of the package imports from here."""
