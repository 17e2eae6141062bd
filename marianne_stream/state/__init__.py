"""Where a job's state is read:

from the conductor, from the registry on disk, from a folder of checkpoints.
"""
