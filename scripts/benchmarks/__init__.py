"""Speed, measured: each script sets one thing beside another in one run."""
