"""What a passage can be recognised by: its words, names, facts and document."""
