"""Photos and label maps on the host: where they lie, what their ids mean, whether they are sound, and how they become batches."""
