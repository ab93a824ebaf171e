"""Making a closed model forget: keys, gates, the published method, and what both rival."""
