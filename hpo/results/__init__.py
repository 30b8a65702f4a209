"""What comes out of a study: its leaderboard and the exported winners."""
