// Which service the clients call, from the environment of `node --test`.
import { Client } from "@langchain/langgraph-sdk";
import { writeFileSync } from "node:fs";
import { after } from "node:test";

export const asked = JSON.parse(process.env.SERVICE);
export const client = new Client({ apiUrl: asked.url, defaultHeaders: { Authorization: `Bearer ${asked.token}` } });
export const assistant = asked.assistant;

let number = 0;

/** A question whose answer is held, and what lets it go. What is still held at the end is let go. */
export function held() {
  const name = `client-${process.pid}-${++number}`;
  const release = () => writeFileSync(`${asked.hold}/${name}`, "");
  after(release);
  return { question: `When? hold:${name}`, release };
}

export const input = (content) => ({ messages: [{ type: "human", content }] });
export const answer = (nth, question) => `Answer ${nth} to “${question}”: The contract ends in May. [1]`;
export const last = (values) => values.messages.at(-1).content;

/** All parts of a stream. */
export async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

export async function until(what, read) {
  for (const end = Date.now() + 15_000; ; ) {
    if (await read()) return;
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}
