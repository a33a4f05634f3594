"""The paths of the data plane, whose routes FastAPI does not know."""

from carousel.service.api.v1.bulk import BulkRoute
from carousel.service.api.v1.infer import InferRoute
from carousel.service.api.v1.step import StepRoute
from carousel.service.api.v2.infer import OipInferRoute

DATA_PATHS = [
    path for route in (StepRoute, BulkRoute, InferRoute, OipInferRoute) for path in route.paths
]
