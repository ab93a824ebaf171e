"""Lets tests here import the module that makes their stores."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
