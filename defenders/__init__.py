"""Published defences, one per file: each judges the passages retrieved for a question."""

if __name__ != "ragshield.defenders":
    raise ImportError("import ragshield.defenders, not defenders")
