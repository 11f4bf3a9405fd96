"""`python -m snowcover.image`: a door to the launcher, which is what knows Docker and AWS."""

from snowcover.cli import cli_error_handler


def main() -> None:
    """`python -m snowcover.image`: hands over to the launcher's command."""
    with cli_error_handler("config"):
        from snowcover_launch.cli import image

        image.main()


if __name__ == "__main__":
    main()
