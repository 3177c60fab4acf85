// fiel's own graph, asked by an ordinary reader: forking is for developers, and the page is told so.
const QUESTION = "What does the vault hold?";

export default async function (reader) {
  reader.release("write");
  await reader.ask(QUESTION);
  await reader.sees(QUESTION, /\[1\]/);
  await reader.idle();
  await reader.ask("And once more?");
  await reader.sees(QUESTION, /\[1\]/, "And once more?", /\[1\]/);
  await reader.idle();
  await reader.edit(1, "Which word is it?");
  await reader.shows("#error", /developer/);
  await reader.reload();
  await reader.sees(QUESTION, /\[1\]/, "And once more?", /\[1\]/);
}
