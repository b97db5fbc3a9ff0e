"""The life of a request, from the socket to the answer; introduces the other rooms to each other."""
