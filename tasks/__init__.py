"""Other systems on the layers and run directories of the suite."""
