"""Makes the suite importable for a script of this folder that runs by its path.

`python tasks/ocr.py`, in any folder, looks for modules in tasks/ and not in the
folder above, which holds the packages. A script imports this module first:

    if not __package__:
      import by_path

`python -m tasks.ocr` has a package, and finds everything without it.
"""

import os
import sys

# In place of this folder: a module here is `tasks.NAME`, and nothing else.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
