"""Building blocks of networks: convolutions, resampling, spatial encoding, attention and its alignment, initial values."""
