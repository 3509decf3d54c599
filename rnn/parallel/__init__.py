"""Several devices in one process, and several processes that train together."""
