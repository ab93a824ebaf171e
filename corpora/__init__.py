"""Knowledge bases to experiment on: loaders for known layouts, and a generated world."""

if __name__ != "ragshield.corpora":
    raise ImportError("import ragshield.corpora, not corpora")
