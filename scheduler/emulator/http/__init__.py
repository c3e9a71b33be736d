"""What the emulated master and agents serve over HTTP: the face of the model, not its mind."""
