"""The dictation device: microphone, features, encoder, decoder, text, sinks."""
