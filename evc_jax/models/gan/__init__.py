"""CodeGAN, VoiceGAN and their losses."""
