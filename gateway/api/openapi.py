"""The OpenAPI 3.1 document, made from the table of routes and the pydantic models. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.api.problems import PROBLEM_TYPE, PROBLEMS
from gateway.api.route import Content, Route
from gateway.api.views import ProblemView

_REF = "#/components/schemas/{model}"
_DESCRIPTION = "Deliver STS tokens to meters. Errors are RFC 9457 problem details; their type is one of: " + ", ".join(
    PROBLEMS
)


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """All that a caller can send, and every answer that can come."""
    models, definitions = models_json_schema(list(_models(routes)), ref_template=_REF)
    references: dict[Any, Any] = {model: schema for (model, _), schema in models.items()}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "stsgate", "version": version, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"api_key": {"type": "http", "scheme": "bearer"}},
        },
    }


def possible_problems(route: Route) -> list[str]:
    """Everything that may be answered instead, in the sequence of the table of problems."""
    words = {"malformed", "method-not-allowed", "headers-too-large", "internal", "unavailable", *route.problems}
    words.add("invalid-parameter")
    if route.scope is not None:
        words |= {"unauthenticated", "forbidden", "too-many-requests"}
    if "{id}" in route.path:
        words.add("not-found")
    if _has_body(route):
        words |= {"request-timeout", "too-large", "unsupported-media-type", "invalid"}
    return [word for word in PROBLEMS if word in words]


def _has_body(route: Route) -> bool:
    return route.method in ("POST", "PUT") and (route.body is not None or route.media_types != ("application/json",))


def _models(routes: Sequence[Route]) -> Iterator[tuple[type[BaseModel], Any]]:
    yield ProblemView, "serialization"
    for route in routes:
        if route.body is not None:
            yield route.body, "validation"
        for model in route.answers.values():
            if isinstance(model, type):
                yield model, "serialization"


def _operation(route: Route, references: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.handler.__name__}",
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _responses(route, references),
    }
    if route.scope is not None:
        operation["security"] = [{"api_key": []}]
        operation["description"] = f"Needs the scope {route.scope}."
    if route.body is not None:
        content = {media_type: {"schema": references[route.body]} for media_type in route.media_types}
        operation["requestBody"] = {"required": True, "content": content}
    elif _has_body(route):
        rows = {media_type: {"schema": {"type": "string"}} for media_type in route.media_types}
        operation["requestBody"] = {"required": True, "content": rows}
    return operation


def _path_parameters(route: Route) -> Iterator[dict[str, Any]]:
    if "{id}" in route.path:
        schema = {"type": "string", "minLength": 1}
        if route.id_pattern is not None:
            schema["pattern"] = route.id_pattern
        yield {"name": "id", "in": "path", "required": True, "schema": schema}


def _query_parameters(route: Route) -> Iterator[dict[str, Any]]:
    schema = route.query.model_json_schema()
    definitions = schema.get("$defs", {})
    for name, described in schema.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "required": False, "schema": _plain(described, definitions)}
        if parameter["schema"].get("type") == "array":
            parameter |= {"style": "form", "explode": False}
        if "description" in described:
            parameter["description"] = described["description"]
        yield parameter


def _plain(described: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not, but never null; and what it refers to stands in its place."""
    schema = {name: value for name, value in described.items() if name not in ("title", "default", "description")}
    given = [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]
    schema |= given[0] if given else {}
    if "$ref" in (items := schema.get("items", {})):
        schema["items"] = definitions[items["$ref"].rpartition("/")[2]]
    return schema


def _responses(route: Route, references: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for word in possible_problems(route):
        kind = PROBLEMS[word]
        response = responses.setdefault(
            str(kind.status),
            {"description": kind.title, "content": {PROBLEM_TYPE: {"schema": references[ProblemView]}}},
        )
        if kind.title not in response["description"]:
            response["description"] += f"; or: {kind.title}"
    for status, answered in route.answers.items():
        response = responses.setdefault(str(status), {"description": "", "content": {}})
        if answered is None:
            responses[str(status)] = {"description": "Done"}
        elif isinstance(answered, Content):
            response["description"] = "; or: ".join(filter(None, (answered.description, response["description"])))
            schema = {"type": "object"} if answered.media_type == "application/json" else {"type": "string"}
            response["content"][answered.media_type] = {"schema": schema}
        else:
            response["description"] = (answered.__doc__ or route.summary).strip().splitlines()[0]
            response["content"]["application/json"] = {"schema": references[answered]}
    return dict(sorted(responses.items()))
