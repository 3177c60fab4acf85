// Somebody who uses a page: asks, reads, edits, answers, loads it again.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { Client } from "@langchain/langgraph-sdk";

const PATIENCE = 15_000;

/** What `read` gives once `check` accepts it; what it gave last where it never does. */
async function until(what, read, check) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const seen = await read();
    if (check(seen)) return seen;
    assert.ok(Date.now() < end, `never: ${what}; last seen: ${JSON.stringify(seen)}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

export class Reader {
  constructor(page, asked) {
    Object.assign(this, { page, asked });
    const defaultHeaders = asked.token ? { Authorization: `Bearer ${asked.token}` } : undefined;
    this.api = new Client({ apiUrl: asked.url, defaultHeaders });
  }

  async open() {
    const { url, token, assistant, page, query = {} } = this.asked;
    await this.page.goto(`${page}?${new URLSearchParams({ api: url, token, assistant, ...query })}`);
    await this.page.locator("#question").waitFor();
  }

  get thread() {
    return new URL(this.page.url()).hash.slice(1);
  }

  async ask(question) {
    await this.page.locator("#question").fill(question);
    await this.page.locator("#ask").click();
  }

  /** Changes the question at that place, counted from 0 among the asker's own. */
  async edit(at, question) {
    const own = this.page.locator(".message.human").nth(at);
    await own.locator(".edit").click();
    await this.page.locator(".draft").fill(question);
    await this.page.locator(".save").click();
  }

  /** The texts; the dot is assistant-ui's cursor, alone in a message that has no text yet. */
  async messages() {
    const texts = await this.page.locator(".message .text").allInnerTexts();
    return texts.map((text) => text.replace("●", "")).filter((text) => text.trim());
  }

  /** Waits until exactly these messages are shown; one is a text, or a test of a text. */
  async sees(...wanted) {
    const fits = (text, one) => (typeof one === "string" ? text.trim() === one : one.test(text));
    const check = (seen) => seen.length === wanted.length && seen.every((text, at) => fits(text, wanted[at]));
    return until(`messages ${wanted.join(" | ")}`, () => this.messages(), check);
  }

  shows(selector, wanted) {
    const read = async () => (await this.page.locator(selector).allInnerTexts()).join("\n");
    return until(`${selector} shows ${wanted}`, read, (text) => wanted.test(text));
  }

  idle() {
    return this.shows("#status", /idle/);
  }

  busy() {
    return this.shows("#status", /busy/);
  }

  async hasNoFault() {
    assert.equal(await this.page.locator("#error").innerText(), "");
  }

  reload() {
    return this.page.reload();
  }

  /** Lets go what waits for a file of this name. */
  release(name) {
    writeFileSync(`${this.asked.hold}/${name}`, "");
  }

  /** Waits until the thread has that many runs, all of this status. */
  runs(count, status) {
    const read = async () => (await this.api.runs.list(this.thread)).map((run) => run.status);
    const check = (seen) => seen.length === count && seen.every((one) => one === status);
    return until(`${count} runs are ${status}`, read, check);
  }
}

export { assert };
