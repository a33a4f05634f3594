"""What is served: every sound artifact of the repository, loaded; and what was refused, and why."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from carousel.models.artifact import ArtifactError
from carousel.models.repository import Refused, Repository
from carousel.service.backends.base import BackendRefused
from carousel.service.engine.loaded_model import LoadedModel, LoadOptions, load_model
from carousel.service.errors import ModelNotFound

log = logging.getLogger("carousel.catalog")


class Catalog:
    """The table of loaded models; names that clients send are looked up here and nowhere else."""

    def __init__(self, repository: Repository, options: LoadOptions) -> None:
        self.refused: list[Refused] = []
        self._repository = repository
        self._options = options
        self._loaded: dict[str, dict[int, LoadedModel]] = {}

    def __repr__(self) -> str:
        return f"<Catalog models={sorted(self._loaded)} refused={len(self.refused)}>"

    def current(self) -> list[LoadedModel]:
        """The highest version of each model, by name."""
        return [versions[max(versions)] for _, versions in sorted(self._loaded.items())]

    def all(self) -> list[LoadedModel]:
        """Every loaded version of every model."""
        return [each for versions in self._loaded.values() for each in versions.values()]

    def versions(self, name: str) -> list[int]:
        """The loaded versions of a model, ascending; empty if there is none."""
        return sorted(self._loaded.get(name, ()))

    def get(self, name: str, version: int | None = None) -> LoadedModel:
        """A model, its highest version unless one is named; raises ModelNotFound."""
        versions = self._loaded.get(name)
        if versions is None:
            raise ModelNotFound(
                f"there is no model {name!r}", hint="GET /v1/models lists what is served"
            )
        if version is None:
            return versions[max(versions)]
        if version not in versions:
            raise ModelNotFound(f"the model {name!r} has the versions {sorted(versions)}")
        return versions[version]

    def successor(self, name: str, version: int, state_id: str) -> LoadedModel | None:
        """Where a session of this version goes on: there, or the highest that its state fits."""
        versions = self._loaded.get(name, {})
        if version in versions and versions[version].state_id == state_id:
            return versions[version]
        fitting = [each for each, loaded in versions.items() if loaded.state_id == state_id]
        return versions[max(fitting)] if fitting else None

    def load(self, report: Callable[[LoadedModel], None] = lambda loaded: None) -> "CatalogUpdate":
        """Find what the repository holds now; blocks, and changes nothing until `publish`."""
        sound, refused = self._repository.scan()
        table: dict[str, dict[int, LoadedModel]] = {}
        added: list[LoadedModel] = []
        for artifact in sound:
            known = self._loaded.get(artifact.name, {}).get(artifact.version)
            if known is None:
                try:
                    known = load_model(artifact, self._options)
                except (ArtifactError, BackendRefused) as error:
                    refused.append(Refused(artifact.name, artifact.version, str(error)))
                    continue
                added.append(known)
                report(known)
            table.setdefault(artifact.name, {})[artifact.version] = known
        return CatalogUpdate(table, added, refused)

    def publish(self, change: "CatalogUpdate") -> list[LoadedModel]:
        """Serve what `load` found, from the event loop; returns the models that are gone."""
        gone = [each for each in self.all() if each not in change.all()]
        for each in gone:
            each.retired = True
        for loaded in change.added:
            loaded.engine.start()
        for refusal in change.refused:
            log.error("refused %s/%d: %s", refusal.name, refusal.version, refusal.reason)
        self._loaded, self.refused = change.table, change.refused
        return gone


@dataclass(frozen=True, slots=True)
class CatalogUpdate:
    """What a look at the repository found: the new table, what in it is new, what was refused."""

    table: dict[str, dict[int, LoadedModel]]
    added: list[LoadedModel]
    refused: list[Refused]

    def all(self) -> list[LoadedModel]:
        """Every model of the new table."""
        return [each for versions in self.table.values() for each in versions.values()]
