"""The lab: a small open language model of the bundled world, trained by this project."""
