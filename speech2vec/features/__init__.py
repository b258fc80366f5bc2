"""From words in time to frames: MFCC, and the store that holds them."""
