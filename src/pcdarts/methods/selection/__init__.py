"""Search methods that select by what is lost when a part of the supernet goes, whatever weights it has."""
