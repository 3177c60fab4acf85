"""Checks of assistants: theirs, the system's, versions, and what is told of their graphs."""

from typing import Any

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.talk import fresh, refused, thread


async def system(client: LangGraphClient, graph: str) -> str:
    """Id of the assistant that the system made of a graph."""
    (found,) = await client.assistants.search(graph_id=graph, metadata={"created_by": "system"})
    return str(found["assistant_id"])


@check("assistants: one of the system a graph", "assistants.search(graph_id); metadata.created_by is system")
async def _system(client: LangGraphClient) -> None:
    found = await client.assistants.search(graph_id="nested", metadata={"created_by": "system"})
    assert [one["graph_id"] for one in found] == ["nested"]
    again = await client.assistants.get(found[0]["assistant_id"])
    assert again["assistant_id"] == found[0]["assistant_id"]


@check(
    "assistants: create and get", "assistants.create: context, config, metadata, name, description; schema.Assistant"
)
async def _create(client: LangGraphClient) -> None:
    made = await client.assistants.create(
        "chain", context={"mood": "gay"}, metadata={"n": 1}, name="One", description="The first"
    )
    assert {"created_at", "updated_at", "config"} <= made.keys()
    assert (made["graph_id"], made["version"], made["name"]) == ("chain", 1, "One")
    assert (made["context"], made["metadata"]["n"], made["description"]) == ({"mood": "gay"}, 1, "The first")
    assert await client.assistants.get(made["assistant_id"]) == made


@check("assistants: create one that exists", "assistants.create(if_exists): 'raise' by default, or 'do_nothing'")
async def _exists(client: LangGraphClient) -> None:
    mine = fresh()
    made = await client.assistants.create("chain", assistant_id=mine, name="first")
    await refused(client.assistants.create("chain", assistant_id=mine, name="second"), 409)
    again = await client.assistants.create("chain", assistant_id=mine, if_exists="do_nothing", name="third")
    assert (made["assistant_id"], again["assistant_id"], again["name"]) == (mine, mine, "first")


@check("assistants: create for no graph", "assistants.create(graph_id): a graph of langgraph.json")
async def _no_graph(client: LangGraphClient) -> None:
    await refused(client.assistants.create("there-is-none"), 404, 422)


@check("assistants: update makes a version", "assistants.update: metadata is merged; schema: version")
async def _update(client: LangGraphClient) -> None:
    made = await client.assistants.create("chain", metadata={"a": 1}, name="old")
    new = await client.assistants.update(made["assistant_id"], metadata={"b": 2}, name="new", context={"mood": "sad"})
    assert (new["version"], new["name"], new["context"]) == (2, "new", {"mood": "sad"})
    assert (new["metadata"]["a"], new["metadata"]["b"]) == (1, 2)


@check("assistants: versions", "assistants.get_versions: list, filter by metadata, limit, offset")
async def _versions(client: LangGraphClient) -> None:
    made = await client.assistants.create("chain", name="v1")
    for number in (2, 3):
        await client.assistants.update(made["assistant_id"], name=f"v{number}", metadata={"n": number})
    found = await client.assistants.get_versions(made["assistant_id"])
    assert [one["version"] for one in found] == [3, 2, 1]
    assert [one["name"] for one in found] == ["v3", "v2", "v1"]
    part = await client.assistants.get_versions(made["assistant_id"], limit=1, offset=1)
    assert [one["version"] for one in part] == [2]
    named = await client.assistants.get_versions(made["assistant_id"], metadata={"n": 3})
    assert [one["version"] for one in named] == [3]


@check("assistants: set latest", "assistants.set_latest: change the version of an assistant")
async def _latest(client: LangGraphClient) -> None:
    made = await client.assistants.create("chain", name="v1")
    await client.assistants.update(made["assistant_id"], name="v2")
    back = await client.assistants.set_latest(made["assistant_id"], 1)
    assert (back["version"], back["name"]) == (1, "v1")
    assert (await client.assistants.get(made["assistant_id"]))["name"] == "v1"
    third = await client.assistants.update(made["assistant_id"], name="v3")
    assert third["version"] == 3
    await refused(client.assistants.set_latest(made["assistant_id"], 9), 404)


@check("assistants: search", "assistants.search: metadata, name (part of it, any case), limit, offset, sort, select")
async def _search(client: LangGraphClient) -> None:
    tag = fresh()
    for name in ("Beta one", "Alpha", "beta two"):
        await client.assistants.create("chain", metadata={"tag": tag}, name=name)
    search = client.assistants.search
    ordered = await search(metadata={"tag": tag}, sort_by="name", sort_order="asc")
    assert sorted(one["name"] for one in ordered) == ["Alpha", "Beta one", "beta two"]
    assert ordered[0]["name"] == "Alpha"
    assert len(await search(metadata={"tag": tag}, name="BETA")) == 2
    page = await search(metadata={"tag": tag}, sort_by="created_at", sort_order="asc", limit=1, offset=1)
    assert [one["name"] for one in page] == ["Alpha"]
    thin = await search(metadata={"tag": tag}, select=["name"])
    assert [set(one) for one in thin] == [{"name"}] * 3


@check("assistants: search with a cursor", "assistants.search(response_format='object'): assistants and next")
async def _cursor(client: LangGraphClient) -> None:
    tag = fresh()
    for _ in range(3):
        await client.assistants.create("chain", metadata={"tag": tag})
    page = await client.assistants.search(metadata={"tag": tag}, limit=2, response_format="object")
    assert len(page["assistants"]) == 2 and page["next"] == "2"
    rest = await client.assistants.search(metadata={"tag": tag}, limit=2, offset=2, response_format="object")
    assert len(rest["assistants"]) == 1 and rest["next"] is None


@check("assistants: count", "assistants.count: metadata, graph_id, name")
async def _count(client: LangGraphClient) -> None:
    tag = fresh()
    for graph, name in (("chain", "one"), ("asks", "two"), ("asks", "three")):
        await client.assistants.create(graph, metadata={"tag": tag}, name=name)
    assert await client.assistants.count(metadata={"tag": tag}) == 3
    assert await client.assistants.count(metadata={"tag": tag}, graph_id="asks") == 2
    assert await client.assistants.count(metadata={"tag": tag}, name="TW") == 1


@check("assistants: delete", "assistants.delete: it is gone")
async def _delete(client: LangGraphClient) -> None:
    made = await client.assistants.create("chain")
    await client.assistants.delete(made["assistant_id"])
    await refused(client.assistants.get(made["assistant_id"]), 404)
    await refused(client.assistants.delete(made["assistant_id"]), 404)


@check("assistants: delete with threads", "assistants.delete(delete_threads): threads whose metadata name it go too")
async def _delete_threads(client: LangGraphClient) -> None:
    made = await client.assistants.create("chain")
    own = await thread(client)
    await client.runs.wait(own, made["assistant_id"], input={})
    other = await thread(client)
    await client.assistants.delete(made["assistant_id"], delete_threads=True)
    await refused(client.threads.get(own), 404)
    await client.threads.get(other)


@check("assistants: graph", "assistants.get_graph: nodes and edges, by the name of a graph too")
async def _graph(client: LangGraphClient) -> None:
    for name in ("chain", await system(client, "chain")):
        drawn = await client.assistants.get_graph(name)
        assert {str(node["id"]) for node in drawn["nodes"]} == {"__start__", "a", "b", "c", "__end__"}
        edges = {(edge["source"], edge["target"]) for edge in drawn["edges"]}
        assert edges == {("__start__", "a"), ("a", "b"), ("b", "c"), ("c", "__end__")}


@check("assistants: graph with its insides", "assistants.get_graph(xray): subgraphs too, or to a depth")
async def _xray(client: LangGraphClient) -> None:
    flat = await client.assistants.get_graph("nested")
    assert {str(node["id"]) for node in flat["nodes"]} == {"__start__", "inner", "__end__"}
    for xray in (True, 1):
        deep = await client.assistants.get_graph("nested", xray=xray)
        assert {"inner:ask", "inner:after"} <= {str(node["id"]) for node in deep["nodes"]}


@check("assistants: schemas", "assistants.get_schemas: schema.GraphSchema, with the context's schema")
async def _schemas(client: LangGraphClient) -> None:
    told: Any = await client.assistants.get_schemas(await system(client, "chain"))
    assert told["graph_id"] == "chain"
    for name in ("input_schema", "output_schema", "state_schema"):
        assert {"steps", "topic"} <= told[name]["properties"].keys(), name
    assert told["context_schema"]["properties"]["mood"]["type"] == "string"
    assert "config_schema" in told


@check("assistants: subgraphs", "assistants.get_subgraphs: by namespace; namespace filters; recurse")
async def _subgraphs(client: LangGraphClient) -> None:
    nested = await system(client, "nested")
    every = await client.assistants.get_subgraphs(nested)
    assert set(every) == {"inner"}
    assert "steps" in (every["inner"]["state_schema"] or {})["properties"]
    assert set(await client.assistants.get_subgraphs(nested, recurse=True)) == {"inner"}
    assert set(await client.assistants.get_subgraphs(nested, namespace="inner")) == {"inner"}
    assert await client.assistants.get_subgraphs(await system(client, "chain")) == {}


@check("assistants: a graph that a factory makes", "langgraph.json: a graph may be a function of the config")
async def _factory(client: LangGraphClient) -> None:
    made = await client.assistants.create("made", config={"configurable": {"called": "ada"}})
    drawn = await client.assistants.get_graph(made["assistant_id"])
    assert "ada" in {str(node["id"]) for node in drawn["nodes"]}
    values: Any = await client.runs.wait(await thread(client), made["assistant_id"], input={})
    assert values["steps"] == ["ada"]
