"""What is served: every sound artifact of the repository, loaded; and what was refused, and why."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from carousel.models.artifact import Artifact, ArtifactError
from carousel.models.repository import Refused, Repository, RepositoryError
from carousel.service.backends.base import BackendRefused
from carousel.service.engine.loaded_model import LoadedModel, LoadOptions, load_model
from carousel.service.errors import ModelNotFound

log = logging.getLogger("carousel.catalog")

# Of a reason: a manifest can have names as long as itself, and the reason says them.
_MOST_CHARACTERS = 1000


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
        """Find what the repository holds now; blocks, and changes nothing until `publish`.

        A version that is loaded goes on as long as something stands at its place: what stands there
        is compared with it, and refused where it is another. Raises RepositoryError where
        everything is gone at once: that is a volume which is missing, and no wish.
        """
        sound, refused = self._repository.scan()
        if self._loaded and not sound and not refused:
            raise RepositoryError(f"{self._repository.root} holds no model any more")
        table: dict[str, dict[int, LoadedModel]] = {}
        added: list[LoadedModel] = []
        for artifact in sound:
            try:
                loaded = self._same_or_loaded(artifact)
            except Exception as error:
                refused.append(Refused(artifact.name, artifact.version, _reason(artifact, error)))
                continue
            table.setdefault(artifact.name, {})[artifact.version] = loaded
            if loaded not in self.all():
                added.append(loaded)
                report(loaded)
        for place, each in enumerate(refused):
            reason = each.reason[:_MOST_CHARACTERS]
            known = self._known(each.name, each.version)
            if known is not None:
                table.setdefault(each.name, {})[each.version] = known
                reason += "; the one that is loaded goes on"
            refused[place] = replace(each, reason=reason)
        return CatalogUpdate(table, added, refused)

    def _same_or_loaded(self, artifact: Artifact) -> LoadedModel:
        known = self._known(artifact.name, artifact.version)
        if known is None:
            return load_model(artifact, self._options)
        artifact.check_same(known.artifact)
        return known

    def _known(self, name: str, version: int) -> LoadedModel | None:
        return self._loaded.get(name, {}).get(version)

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


def _reason(artifact: Artifact, error: Exception) -> str:
    if isinstance(error, ArtifactError | BackendRefused):
        return str(error)
    # A file can be wrong in ways that nobody thought of; one artifact must not stop the server.
    label = f"{artifact.name}/{artifact.version}"
    log.warning("%s cannot be loaded", label, exc_info=error)
    return f"{label}: it cannot be loaded: {error!r}"


@dataclass(frozen=True, slots=True)
class CatalogUpdate:
    """What a look at the repository found: the new table, what in it is new, what was refused."""

    table: dict[str, dict[int, LoadedModel]]
    added: list[LoadedModel]
    refused: list[Refused]

    def all(self) -> list[LoadedModel]:
        """Every model of the new table."""
        return [each for versions in self.table.values() for each in versions.values()]
