// OpenAI's own client against fiel's own graph: whole and streamed, with the sources under the key `fiel`.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import OpenAI from "openai";
import { all, asked } from "./service.mjs";

const openai = new OpenAI({ baseURL: `${asked.url}/v1`, apiKey: asked.token, maxRetries: 0 });
const model = asked.assistant;
const messages = [{ role: "user", content: "What does the vault hold?" }];
const SECRET = "The vault holds the secret word xylophone-7731.";

const cited = (told) => {
  assert.equal(told.outcome, "answered");
  assert.deepEqual(told.citations.map((one) => [one.uri, one.quote]), [["notes.md", SECRET]]);
};

describe("models", () => {
  it("are the assistants", async () => {
    const listed = await all(openai.models.list());
    assert.ok(listed.some((one) => one.id === model && one.object === "model"));
    assert.equal((await openai.models.retrieve(model)).id, model);
    await assert.rejects(openai.models.retrieve("gpt-4"), OpenAI.NotFoundError);
  });

  it("are for who has a token", async () => {
    const nobody = new OpenAI({ baseURL: `${asked.url}/v1`, apiKey: "sk-none", maxRetries: 0 });
    await assert.rejects(nobody.models.list(), OpenAI.AuthenticationError);
  });
});

describe("chat completions", () => {
  it("answer with sources", async () => {
    const { data, response } = await openai.chat.completions.create({ model, messages }).withResponse();
    const [choice] = data.choices;
    assert.ok(choice.message.content.startsWith(SECRET.slice(0, -1)));
    assert.match(choice.message.content, /\[1\] notes\.md: “/);
    assert.equal(choice.finish_reason, "stop");
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assert.ok(response.headers.get("x-request-id"));
    cited(data.fiel);
  });

  it("stream the same text, progress first", async () => {
    const whole = await openai.chat.completions.create({ model, messages });
    const chunks = await all(
      await openai.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } }),
    );
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.equal(text, whole.choices[0].message.content);
    assert.ok(chunks.some((chunk) => chunk.fiel?.progress?.hop === "retrieve"));
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
    assert.ok(chunks.some((chunk) => chunk.choices[0]?.finish_reason === "stop"));
    cited(Object.assign({}, ...chunks.map((chunk) => chunk.fiel ?? {})));
  });

  it("are put together by the client's helper", async () => {
    const final = await openai.chat.completions.stream({ model, messages }).finalChatCompletion();
    assert.ok(final.choices[0].message.content.includes(SECRET));
  });

  it("refuse by the content filter", async () => {
    const refused = await openai.chat.completions.create({
      model,
      messages,
      fiel: { context: { policy: "strict", chat: "dear" } },
    });
    assert.equal(refused.choices[0].finish_reason, "content_filter");
    assert.ok(refused.choices[0].message.refusal);
    assert.equal(refused.fiel.outcome, "refused");
  });

  it("refuse a field that they do not know, by its name", async () => {
    await assert.rejects(
      openai.chat.completions.create({ model, messages, n: 3 }),
      (error) => error instanceof OpenAI.BadRequestError && /\bn\b/.test(error.message),
    );
  });
});

describe("responses", () => {
  it("answer with sources", async () => {
    const answer = await openai.responses.create({ model, input: messages[0].content });
    assert.equal(answer.status, "completed");
    assert.ok(answer.output_text.includes(SECRET));
    assert.ok(answer.usage.total_tokens > 0);
    cited(answer.fiel);
  });

  it("stream the same text", async () => {
    const events = await all(await openai.responses.create({ model, input: messages[0].content, stream: true }));
    const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    const done = events.at(-1);
    assert.equal(done.type, "response.completed");
    assert.equal(deltas.join(""), done.response.output[0].content[0].text);
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, at) => at));
    cited(done.response.fiel);
  });

  it("are put together by the client's helper", async () => {
    const final = await openai.responses.stream({ model, input: messages[0].content }).finalResponse();
    assert.ok(final.output_text.includes(SECRET));
  });

  it("are incomplete where the question is refused", async () => {
    const refused = await openai.responses.create({
      model,
      input: messages[0].content,
      fiel: { context: { policy: "strict", chat: "dear" } },
    });
    assert.equal(refused.status, "incomplete");
    assert.equal(refused.incomplete_details.reason, "content_filter");
  });

  it("are incomplete in a stream too, and the client's helper can follow it", async () => {
    const final = await openai.responses
      .stream({ model, input: messages[0].content, fiel: { context: { policy: "strict", chat: "dear" } } })
      .finalResponse();
    assert.equal(final.status, "incomplete");
    assert.ok(final.output[0].content.some((part) => part.type === "refusal" && part.refusal));
  });
});
