"""The device side: Python 3.9+, the standard library, numpy and one runtime; it imports nothing of the host's.

`python3 -I -S __main__.py run JOB` measures; the other commands are listed in `__main__.py`. `-I -S` keeps the
device's own site-packages out, so that the runtime a number belongs to is the one that was brought here by digest.
"""
