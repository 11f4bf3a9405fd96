"""`python -m snowcover.image`: a door to the launcher, which is what knows Docker and AWS."""

from snowcover.command import ending_in_a_sentence


def main() -> None:
    """`python -m snowcover.image`: hands over to the launcher's command."""
    with ending_in_a_sentence("config"):
        from snowcover_launch.cli import image

        image.main()


if __name__ == "__main__":
    main()
