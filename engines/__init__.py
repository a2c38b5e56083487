"""All that computes: a library without sockets, global state or processes of its own."""
