// fiel's own graph: progress from the first hop, nothing of the answer until it is released, then the answer with its
// source; the page is loaded again while the answer is being written.
import { assert } from "./reader.mjs";

const SECRET = "The vault holds the secret word xylophone-7731.";
const QUESTION = "What does the vault hold?";

export default async function (reader) {
  await reader.ask(QUESTION);
  await reader.shows("#progress", /guard_input started[^]*retrieve done \{"passages":1\}[^]*generate started/);
  await reader.sees(QUESTION);
  if (!reader.asked.forgets) {
    await reader.reload();
    await reader.shows("#progress", /guard_input started[^]*retrieve done[^]*generate started/);
    await reader.sees(QUESTION);
    await reader.busy();
  }
  assert.ok(!(await reader.page.content()).includes("xylophone"), "a draft is shown before it is released");
  reader.release("write");
  await reader.sees(QUESTION, new RegExp(`^${SECRET.slice(0, -1)}.*\\[1\\]`));
  await reader.shows("#citations", new RegExp(`notes\\.md: ${SECRET}`));
  await reader.shows("#progress", /release done/);
  await reader.idle();
  await reader.hasNoFault();
}
