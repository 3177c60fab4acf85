// Assistants, threads, crons and the store through the LangGraph SDK.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { answer, assistant, client, input, last } from "./service.mjs";

describe("assistants", () => {
  it("finds the graph's own assistant, its drawing and its schemas", async () => {
    const [found] = await client.assistants.search({ graphId: assistant, metadata: { created_by: "system" } });
    assert.equal(found.graph_id, assistant);
    const drawn = await client.assistants.getGraph(found.assistant_id);
    assert.ok(drawn.nodes.some((node) => node.id === "search"));
    assert.ok(drawn.edges.length >= 3);
    const schemas = await client.assistants.getSchemas(found.assistant_id);
    assert.ok("messages" in schemas.input_schema.properties);
    assert.deepEqual(await client.assistants.getSubgraphs(found.assistant_id), {});
  });

  it("makes, changes, versions and deletes one", async () => {
    const made = await client.assistants.create({ graphId: assistant, name: "First", metadata: { team: "blue" } });
    assert.equal(made.version, 1);
    const changed = await client.assistants.update(made.assistant_id, { graphId: assistant, name: "Second" });
    assert.deepEqual([changed.name, changed.version], ["Second", 2]);
    const versions = await client.assistants.getVersions(made.assistant_id);
    assert.deepEqual(versions.map((one) => one.version), [2, 1]);
    assert.equal((await client.assistants.setLatest(made.assistant_id, 1)).name, "First");
    assert.equal(await client.assistants.count({ metadata: { team: "blue" } }), 1);
    await client.assistants.delete(made.assistant_id);
    await assert.rejects(client.assistants.get(made.assistant_id), { status: 404 });
  });
});

describe("threads", () => {
  it("makes, finds, changes, copies and deletes one", async () => {
    const mark = randomUUID();
    const thread = await client.threads.create({ metadata: { mark } });
    assert.equal(thread.status, "idle");
    await client.threads.update(thread.thread_id, { metadata: { more: true } });
    assert.deepEqual((await client.threads.get(thread.thread_id)).metadata.more, true);
    const found = await client.threads.search({ metadata: { mark }, limit: 5 });
    assert.deepEqual(found.map((one) => one.thread_id), [thread.thread_id]);
    assert.equal(await client.threads.count({ metadata: { mark } }), 1);
    await client.runs.wait(thread.thread_id, assistant, { input: input("One?") });
    const copy = await client.threads.copy(thread.thread_id);
    assert.equal(last((await client.threads.getState(copy.thread_id)).values), answer(1, "One?"));
    await client.threads.delete(thread.thread_id);
    await assert.rejects(client.threads.get(thread.thread_id), { status: 404 });
    assert.equal((await client.threads.get(copy.thread_id)).thread_id, copy.thread_id);
  });

  it("makes one again only where that is asked for", async () => {
    const threadId = randomUUID();
    await client.threads.create({ threadId });
    await assert.rejects(client.threads.create({ threadId, ifExists: "raise" }), { status: 409 });
    assert.equal((await client.threads.create({ threadId, ifExists: "do_nothing" })).thread_id, threadId);
  });

  it("has states, a history and edits", async () => {
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, assistant, { input: input("One?") });
    const state = await client.threads.getState(thread_id);
    assert.deepEqual(state.next, []);
    const history = await client.threads.getHistory(thread_id, { limit: 50 });
    assert.deepEqual(history[0].checkpoint.checkpoint_id, state.checkpoint.checkpoint_id);
    assert.deepEqual(history.slice(0, 4).map((one) => one.next), [[], ["answer"], ["review"], ["search"]]);
    const earlier = await client.threads.getState(thread_id, history[1].checkpoint);
    assert.deepEqual(earlier.next, ["answer"]);
    await client.threads.updateState(thread_id, { values: { citations: [] }, asNode: "answer" });
    assert.deepEqual((await client.threads.getState(thread_id)).values.citations, []);
    const short = await client.threads.getHistory(thread_id, { limit: 2, before: history[0].checkpoint });
    assert.deepEqual(short.map((one) => one.checkpoint.checkpoint_id), history.slice(1, 3).map((one) => one.checkpoint.checkpoint_id));
  });
});

describe("crons", () => {
  it("makes, finds and deletes one", async () => {
    const made = await client.crons.create(assistant, { schedule: "0 5 1 1 *", input: input("One?") });
    const found = await client.crons.search({ assistantId: made.assistant_id, limit: 50 });
    assert.ok(found.some((one) => one.cron_id === made.cron_id));
    await client.crons.delete(made.cron_id);
    const left = await client.crons.search({ assistantId: made.assistant_id, limit: 50 });
    assert.ok(!left.some((one) => one.cron_id === made.cron_id));
  });
});

describe("the store", () => {
  it("puts, gets, finds, lists and deletes items", async () => {
    const space = ["notes", randomUUID()];
    await client.store.putItem(space, "first", { text: "one", kind: "a" });
    await client.store.putItem(space, "second", { text: "two", kind: "b" });
    const item = await client.store.getItem(space, "first");
    assert.deepEqual([item.namespace, item.key, item.value], [space, "first", { text: "one", kind: "a" }]);
    assert.ok(!Number.isNaN(Date.parse(item.createdAt)));
    const found = await client.store.searchItems(space, { filter: { kind: "b" } });
    assert.deepEqual(found.items.map((one) => one.key), ["second"]);
    const listed = await client.store.listNamespaces({ prefix: space });
    assert.deepEqual(listed.namespaces, [space]);
    await client.store.deleteItem(space, "first");
    assert.equal((await client.store.searchItems(space)).items.length, 1);
  });
});
