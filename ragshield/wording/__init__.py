"""What one text shows by itself, for defenders and screens alike."""
