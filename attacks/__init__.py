"""Published attacks, one per file: each makes poisoned passages for a target."""

if __name__ != "ragshield.attacks":
    raise ImportError("import ragshield.attacks, not attacks")
