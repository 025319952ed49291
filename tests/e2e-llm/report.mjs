// Prints tokens and latency of every answer in a batch's output, and checks that all succeeded and came from the
// real model.
//
//     node report.mjs RESULTS.json COUNT

import {readFileSync} from "node:fs";

const [file, count] = [process.argv[2], Number(process.argv[3])];
const {results} = JSON.parse(readFileSync(file, "utf8"));
const right = (value, width) => String(value ?? "?").padStart(width);

console.log(`${right("#", 3)} ${right("in", 5)} ${right("out", 5)} ${right("ms", 7)}  answer`);
results.forEach((result, at) => {
    const text = (result.success ? result.output : `FAILED: ${result.error}`) ?? "";
    const line = text.replace(/\s+/g, " ").slice(0, 80);
    console.log(`${right(at + 1, 3)} ${right(result.input_tokens, 5)} ${right(result.output_tokens, 5)} ${right(result.duration_ms, 7)}  ${line}`);
});

const succeeded = results.filter((result) => result.success && result.output && result.platform === "smollm2").length;
console.log(`${succeeded} of ${count} answered by smollm2`);
process.exit(results.length === count && succeeded === count ? 0 : 1);
