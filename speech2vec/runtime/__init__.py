"""What every program needs and no speech: errors, files, settings, processes, progress, the terminal."""
