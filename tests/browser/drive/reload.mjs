// The page is loaded again in the middle of a run, twice, and sees it go on: nothing lost, nothing twice, one run.
export default async function (reader) {
  const name = `reload-${process.pid}`;
  await reader.ask(`When? hold:${name}`);
  await reader.sees(`When? hold:${name}`, /^Answer 1 to\s*$/);
  for (const _ of [1, 2]) {
    await reader.reload();
    await reader.sees(`When? hold:${name}`, /^Answer 1 to\s*$/);
    await reader.busy();
  }
  await reader.runs(1, "running");
  reader.release(name);
  await reader.sees(`When? hold:${name}`, `Answer 1 to “When? hold:${name}”: The contract ends in May. [1]`);
  await reader.shows("#citations", /^\[1\] contract\.md/);
  await reader.idle();
  await reader.hasNoFault();
  await reader.runs(1, "success");
  await reader.reload();
  await reader.sees(`When? hold:${name}`, `Answer 1 to “When? hold:${name}”: The contract ends in May. [1]`);
  await reader.idle();
}
