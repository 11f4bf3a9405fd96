"""The backends that run jobs, all with the same few methods."""

from collections.abc import Callable, Iterator, Mapping

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from snowcover_launch.backends.base import Backend, SweepContext

NAMES = ("local", "docker", "sagemaker")


class Backends(Mapping[str, Backend]):
    """Backends by the names of hw.backend, each imported and created when first used."""

    def __init__(
        self, context: SweepContext, run_here: Callable[[DictConfig], JobReturn] | None = None,
        account: tuple[str | None, str | None] | None = None,
    ) -> None:  # fmt: skip
        """`run_here` runs a composed config in this process; `account` is the region and profile of jobs.json."""
        self.context = context
        self._run_here = run_here
        self._account = account
        self._backends: dict[str, Backend] = {}

    def __getitem__(self, name: str) -> Backend:
        if name not in self._backends:
            self._backends[name] = self._create(name)
        return self._backends[name]

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def _create(self, name: str) -> Backend:
        if name == "docker":
            from snowcover_launch.backends.docker.backend import DockerBackend

            return DockerBackend(self.context)
        if name == "sagemaker":
            from snowcover_launch.backends.sagemaker.backend import SageMakerBackend

            return SageMakerBackend(self.context, self._account)
        if name == "local" and self._run_here is not None:
            from snowcover_launch.backends.local import LocalBackend

            return LocalBackend(self._run_here)
        raise KeyError(name)
