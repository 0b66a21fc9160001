"""Every record on a topic and in the state, their keys, codecs and errors. No I/O, and nothing from the other packages."""
