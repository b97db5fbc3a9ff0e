"""The contract: generated messages and services (see the .proto files beside them)."""
