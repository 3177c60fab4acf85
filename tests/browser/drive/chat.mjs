// Ask, see progress, see the answer grow, see its source.
const WHOLE = /^Answer 1 to “When\? hold:(\S+)”: The contract ends in May\. \[1\]$/;

export default async function (reader) {
  const name = `chat-${process.pid}`;
  await reader.ask(`When? hold:${name}`);
  await reader.shows("#progress", /search done \{"passages":1\}/);
  await reader.sees(`When? hold:${name}`, /^Answer 1 to\s*$/);
  await reader.busy();
  reader.release(name);
  await reader.sees(`When? hold:${name}`, WHOLE);
  await reader.shows("#citations", /^\[1\] contract\.md: The contract ends in May\.$/);
  await reader.idle();
  await reader.ask("And then?");
  await reader.sees(`When? hold:${name}`, WHOLE, "And then?", "Answer 2 to “And then?”: The contract ends in May. [1]");
  await reader.idle();
  await reader.hasNoFault();
}
