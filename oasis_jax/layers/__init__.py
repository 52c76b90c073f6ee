"""What networks are made of: convolutions, resampling, spatial encoding, attention and its alignment, initial values."""
