"""`python -m snowcover.algorithm`: a door to the launcher, which is what knows AWS."""

from snowcover.cli import cli_error_handler


def main() -> None:
    """`python -m snowcover.algorithm`: hands over to the launcher's command."""
    with cli_error_handler("config"):
        from snowcover_launch.cli import algorithm

        algorithm.main()


if __name__ == "__main__":
    main()
