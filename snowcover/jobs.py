"""`python -m snowcover.jobs`: a door to the launcher, which is what knows AWS."""

from snowcover.command import ending_in_a_sentence


def main() -> None:
    """`python -m snowcover.jobs`: hands over to the launcher's command."""
    with ending_in_a_sentence("config"):
        from snowcover_launch.cli import jobs

        jobs.main()


if __name__ == "__main__":
    main()
