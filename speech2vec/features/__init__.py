"""From aligned words to feature frames: MFCC, and the store of the frames."""
