"""The role that jobs run as."""

from snowcover_launch.aws.errors import AwsError, aws_errors
from snowcover_launch.aws.session import Account


class RoleOfOtherAccount(AwsError):
    """The role is of another account than the jobs, which SageMaker refuses."""


def refuse_role_of_other_account(account: Account, role_arn: str) -> None:
    """Check once, at no cost, what AWS would otherwise refuse for each job.

    Raises:
        RoleOfOtherAccount
    """
    with aws_errors("identify you", account):
        own = account.client("sts").get_caller_identity()["Account"]
    theirs = role_arn.split(":")[4]
    if theirs != own:
        raise RoleOfOtherAccount(
            f"aws.role_arn={role_arn} is of the account {theirs} and your credentials are of {own}, where jobs would "
            "run: set SNOWCOVER_ROLE_ARN to the role of that account, or choose another profile with AWS_PROFILE."
        )
