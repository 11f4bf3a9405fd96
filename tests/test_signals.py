"""How the processes of one run part."""

import pytest
import torch

from snowcover.signals import process_group_errors


@pytest.fixture
def group() -> None:
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)


@pytest.mark.usefixtures("group")
def test_a_group_that_is_done_leaves_no_thread_to_meet_the_end_of_python() -> None:
    with process_group_errors(2):
        torch.distributed.all_reduce(torch.ones(1))
    assert not torch.distributed.is_initialized()
