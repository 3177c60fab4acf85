// fiel's own graph, asked by a developer: a question is changed, the thread forks.
const QUESTION = "What does the vault hold?";
const ANSWER = /xylophone-7731.*\[1\]/;

export default async function (reader) {
  reader.release("write");
  await reader.ask(QUESTION);
  await reader.sees(QUESTION, ANSWER);
  await reader.idle();
  await reader.ask("And once more?");
  await reader.sees(QUESTION, ANSWER, "And once more?", ANSWER);
  await reader.idle();
  await reader.edit(1, "Which word is it?");
  await reader.sees(QUESTION, ANSWER, "Which word is it?", ANSWER);
  await reader.idle();
  await reader.hasNoFault();
  await reader.page.locator(".previous").click();
  await reader.sees(QUESTION, ANSWER, "And once more?", ANSWER);
}
