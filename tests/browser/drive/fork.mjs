// A question is changed: the thread forks, and both branches stay.
import { assert } from "./reader.mjs";

const answer = (number, question) => `Answer ${number} to “${question}”: The contract ends in May. [1]`;

export default async function (reader) {
  await reader.ask("One?");
  await reader.sees("One?", answer(1, "One?"));
  await reader.idle();
  await reader.ask("Two?");
  await reader.sees("One?", answer(1, "One?"), "Two?", answer(2, "Two?"));
  await reader.idle();
  await reader.edit(1, "Three?");
  await reader.sees("One?", answer(1, "One?"), "Three?", answer(2, "Three?"));
  await reader.idle();
  await reader.ask("Four?");
  await reader.sees("One?", answer(1, "One?"), "Three?", answer(2, "Three?"), "Four?", answer(3, "Four?"));
  await reader.idle();
  await reader.hasNoFault();
  if (reader.asked.branches) await both(reader);
}

/** The other branch can be looked at, and the first question can be changed too. */
async function both(reader) {
  await reader.page.locator(".previous").click();
  await reader.sees("One?", answer(1, "One?"), "Two?", answer(2, "Two?"));
  await reader.page.locator(".next").click();
  await reader.sees("One?", answer(1, "One?"), "Three?", answer(2, "Three?"), "Four?", answer(3, "Four?"));
  await reader.edit(0, "Zero?");
  await reader.sees("Zero?", answer(1, "Zero?"));
  await reader.idle();
  await reader.reload();
  await reader.sees("Zero?", answer(1, "Zero?"));
  const states = await reader.api.threads.getHistory(reader.thread, { limit: 100 });
  const said = new Set(states.map((state) => state.values.messages?.at(-1)?.content));
  for (const one of [answer(2, "Two?"), answer(2, "Three?"), answer(3, "Four?"), answer(1, "Zero?")])
    assert.ok(said.has(one), `no branch says ${one}`);
}
