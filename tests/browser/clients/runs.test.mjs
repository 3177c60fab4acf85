// Runs through the LangGraph SDK: waited for, streamed, joined, left and joined again, stopped, continued.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { all, answer, assistant, client, held, input, last, until } from "./service.mjs";

const thread = async () => (await client.threads.create()).thread_id;

describe("a run that is waited for", () => {
  it("gives the values", async () => {
    const values = await client.runs.wait(await thread(), assistant, { input: input("One?") });
    assert.equal(last(values), answer(1, "One?"));
    assert.equal(values.citations[0].uri, "contract.md");
  });

  it("needs no thread", async () => {
    assert.equal(last(await client.runs.wait(null, assistant, { input: input("One?") })), answer(1, "One?"));
  });

  it("makes the thread where that is asked for, and not where it is not", async () => {
    const id = randomUUID();
    await assert.rejects(client.runs.wait(id, assistant, { input: input("One?") }), { status: 404 });
    const values = await client.runs.wait(id, assistant, { input: input("One?"), ifNotExists: "create" });
    assert.equal(last(values), answer(1, "One?"));
  });
});

describe("a streamed run", () => {
  it("has every mode that is asked for", async () => {
    const streamMode = ["values", "updates", "messages-tuple", "custom", "tasks", "checkpoints", "debug", "events"];
    let created;
    const parts = await all(
      client.runs.stream(await thread(), assistant, {
        input: input("One?"),
        streamMode,
        onRunCreated: (run) => (created = run),
      }),
    );
    assert.equal(parts[0].event, "metadata");
    assert.equal(parts[0].data.run_id, created.run_id);
    assert.ok(created.thread_id);
    const events = new Set(parts.map((part) => part.event));
    for (const one of ["values", "updates", "messages", "custom", "tasks", "checkpoints", "debug", "events"])
      assert.ok(events.has(one), `no ${one}`);
    const words = parts.filter((part) => part.event === "messages").map((part) => part.data[0].content);
    assert.ok(words.length > 5);
    assert.equal(words.join(""), answer(1, "One?"));
    assert.deepEqual(
      parts.filter((part) => part.event === "custom").map((part) => part.data.status),
      ["started", "done"],
    );
  });

  it("gathers messages in the mode messages", async () => {
    const parts = await all(
      client.runs.stream(await thread(), assistant, { input: input("One?"), streamMode: "messages" }),
    );
    const partial = parts.filter((part) => part.event === "messages/partial").map((part) => part.data[0].content);
    assert.ok(partial.length > 5);
    assert.equal(partial.at(-1), answer(1, "One?"));
    assert.ok(partial.every((text, at) => at === 0 || text.startsWith(partial[at - 1])));
  });

  it("is joined with the last event's id: nothing is lost, nothing comes twice", async () => {
    const [id, hold] = [await thread(), held()];
    const run = await client.runs.create(id, assistant, {
      input: input(hold.question),
      streamMode: ["messages-tuple", "values"],
      streamResumable: true,
    });
    const first = [];
    for await (const part of client.runs.joinStream(id, run.run_id)) {
      first.push(part);
      if (part.event === "messages") break;
    }
    hold.release();
    const rest = await all(client.runs.joinStream(id, run.run_id, { lastEventId: first.at(-1).id }));
    const whole = await all(client.runs.joinStream(id, run.run_id, { lastEventId: "-1" }));
    assert.deepEqual([...first, ...rest], whole);
    assert.equal(new Set(whole.map((part) => part.id)).size, whole.length);
    assert.equal(last(whole.findLast((part) => part.event === "values").data), answer(1, hold.question));
  });

  it("goes on without a listener where that is asked for, and stops where it is not", async () => {
    for (const [onDisconnect, status] of [["continue", "success"], ["cancel", "interrupted"]]) {
      const [id, hold] = [await thread(), held()];
      const abort = new AbortController();
      const parts = client.runs.stream(id, assistant, {
        input: input(hold.question),
        streamMode: "messages-tuple",
        onDisconnect,
        signal: abort.signal,
      });
      for await (const part of parts) if (part.event === "messages") break;
      abort.abort();
      if (onDisconnect === "continue") hold.release();
      await until(`the run is ${status}`, async () => (await client.runs.list(id))[0].status === status);
    }
  });

  it("of a thread is heard by who listens to the thread", async () => {
    const [id, hold] = [await thread(), held()];
    const abort = new AbortController();
    const listening = (async () => {
      for await (const part of client.threads.joinStream(id, { streamMode: ["run_modes"], signal: abort.signal }))
        if (part.event === "values" && part.data.citations?.length) return part.data;
    })();
    const run = await client.runs.create(id, assistant, { input: input(hold.question), streamMode: "values" });
    hold.release();
    await client.runs.join(id, run.run_id);
    assert.equal(last(await listening), answer(1, hold.question));
    abort.abort();
  });
});

describe("a run in the background", () => {
  it("is listed, joined and deleted", async () => {
    const id = await thread();
    const run = await client.runs.create(id, assistant, { input: input("One?"), metadata: { mark: "x" } });
    assert.equal(last(await client.runs.join(id, run.run_id)), answer(1, "One?"));
    const got = await client.runs.get(id, run.run_id);
    assert.deepEqual([got.status, got.metadata.mark], ["success", "x"]);
    assert.equal((await client.runs.list(id, { status: "success" })).length, 1);
    await client.runs.delete(id, run.run_id);
    await assert.rejects(client.runs.get(id, run.run_id), { status: 404 });
  });

  it("is cancelled, and the thread can be asked again", async () => {
    const [id, hold] = [await thread(), held()];
    const run = await client.runs.create(id, assistant, { input: input(hold.question), streamMode: "messages-tuple" });
    for await (const part of client.runs.joinStream(id, run.run_id)) if (part.event === "messages") break;
    await client.runs.cancel(id, run.run_id, true);
    assert.equal((await client.runs.get(id, run.run_id)).status, "interrupted");
    await client.runs.wait(id, assistant, { input: input("Two?"), multitaskStrategy: "reject" });
    const refused = held();
    await client.runs.create(id, assistant, { input: input(refused.question) });
    await assert.rejects(client.runs.create(id, assistant, { input: input("x"), multitaskStrategy: "reject" }), {
      status: 409,
    });
    refused.release();
  });

  it("comes in a batch", async () => {
    const runs = await client.runs.createBatch([
      { assistantId: assistant, input: input("One?"), multitaskStrategy: "reject" },
      { assistantId: assistant, input: input("Two?") },
    ]);
    assert.deepEqual(runs.map((run) => run.multitask_strategy), ["reject", "enqueue"]);
    await assert.rejects(client.runs.createBatch([{ assistantId: assistant, inputs: 1 }]), /inputs/);
  });
});

describe("an interrupted run", () => {
  it("is resumed by a command", async () => {
    const id = await thread();
    const values = await client.runs.wait(id, assistant, { input: input("Please approve.") });
    assert.equal(values.__interrupt__[0].value.question, "May this be answered?");
    const state = await client.threads.getState(id);
    assert.deepEqual(state.next, ["review"]);
    assert.equal(state.tasks[0].interrupts[0].value.question, "May this be answered?");
    assert.equal((await client.threads.get(id)).status, "interrupted");
    const resumed = await client.runs.wait(id, assistant, { command: { resume: "yes" } });
    assert.equal(last(resumed), answer(1, "Please approve."));
  });

  it("stops before a node and is continued with null", async () => {
    const id = await thread();
    await client.runs.wait(id, assistant, { input: input("One?"), interruptBefore: ["answer"] });
    assert.deepEqual((await client.threads.getState(id)).next, ["answer"]);
    assert.equal(last(await client.runs.wait(id, assistant, { input: null })), answer(1, "One?"));
  });
});

describe("a refused run", () => {
  it("names the field that is not known and the assistant that is not there", async () => {
    await assert.rejects(client.runs.wait(null, "nobody", { input: {} }), { status: 404 });
    await assert.rejects(
      client.runs.wait(await thread(), assistant, { input: {}, config: { configurable: { checkpoint_ns: "x" } } }),
      (error) => error.status === 422 && /checkpoint_ns/.test(error.message),
    );
  });
});
