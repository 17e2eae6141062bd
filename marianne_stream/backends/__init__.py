"""Where state is read: the conductor, the registry on disk, a folder of checkpoints."""
