// Rhubarb over sounds: one line a sound (a JSON string: base64 of 16 kHz int16 samples) in, one line [[start second, letter], ...] out.
// Used by cues.py; the first argument is the folder of rhubarb-lip-sync-wasm.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import path from "node:path";

const answer = (value) => process.stdout.write(JSON.stringify(value) + "\n");
// The package reports its progress on the console; only answers may go to standard output.
for (const name of ["log", "info", "debug", "warn"]) console[name] = () => {};

const { Rhubarb } = await import(pathToFileURL(path.join(process.argv[2], "dist", "index.js")));
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const { mouthCues } = await Rhubarb.getLipSync(Buffer.from(JSON.parse(line), "base64"), {});
    answer(mouthCues.map((cue) => [cue.start, cue.value]));
  } catch (error) {
    answer({ error: String(error) });
  }
}
