// Ends with 0 where this Node is new enough for the packages: 20.19, the first that tells modules from scripts itself.
const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);
