"""Photos and label maps on the host: their files, the meaning of ids, the check of the data, and batches."""
