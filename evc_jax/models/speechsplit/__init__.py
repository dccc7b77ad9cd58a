"""SpeechSplit and its F0 converter."""
