"""Speech-emotion recognition from acoustic features and word embeddings (the dual encoder and its rivals)."""
