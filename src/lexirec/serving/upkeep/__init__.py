"""Work beside requests: publishing, noticing what other processes changed, reading settings again."""
