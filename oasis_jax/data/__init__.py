"""Photos and label maps on the host: their files, the meaning of their ids, their check, and how they become batches."""
