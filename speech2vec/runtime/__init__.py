"""Foundations without any speech in them: errors, files, settings, processes, progress, command lines."""
