// A run asks a person, who answers: yes after the page was loaded again (where it can be), and no.
export default async function (reader) {
  await reader.ask("Please approve this.");
  await reader.shows("#interrupt", /May this be answered\?/);
  await reader.idle();
  if (!reader.asked.forgets) {
    await reader.reload();
    await reader.shows("#interrupt", /May this be answered\?/);
  }
  await reader.page.locator("#interrupt button", { hasText: "yes" }).click();
  const answered = "Answer 1 to “Please approve this.”: The contract ends in May. [1]";
  await reader.sees("Please approve this.", answered);
  await reader.idle();
  await reader.page.locator("#interrupt").waitFor({ state: "detached" });
  await reader.ask("Now approve that.");
  await reader.shows("#interrupt", /May this be answered\?/);
  await reader.page.locator("#interrupt button", { hasText: "no" }).click();
  await reader.sees("Please approve this.", answered, "Now approve that.", "A person said no.");
  await reader.idle();
  await reader.hasNoFault();
}
