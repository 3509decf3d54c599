"""Vocabularies and word vectors, as files and in memory."""
