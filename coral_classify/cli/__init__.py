"""The command line: ``coral-classify``.  Each subcommand is a module of this package with ``main(argv) -> exit code``."""
