"""The network: encoder, decoder and the recurrence they are made of."""
