"""Tables, read and written block by block, and files that are written whole or not at all."""
