"""One device, held and made ready: the connection, the lease, files, runtimes, and what is cleaned up."""
