"""What a hedger minimises: one kind of objective per file, named as the file. See `envs/objective.py`."""
