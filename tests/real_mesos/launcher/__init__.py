"""The programs a Mesos agent starts for a container, which the native library does not hold.

They use the standard library only, since they run outside the project's virtual environment.
"""
