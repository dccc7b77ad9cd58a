"""The studio: conversions in a web page, made with Gradio."""
