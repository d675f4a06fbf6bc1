// Bundles the small scripts of our pages into the Go packages that embed them.
// The results are committed, so building the program needs no Node; CI rebuilds
// them and fails on a difference.
import { build } from "esbuild";
import { existsSync } from "node:fs";

const bundles = [
  ["capture/capture.ts", "../internal/sandbox/kosmos/static/capture.js"],
  ["authenticator/authenticator.ts", "../internal/sandbox/kosmos/static/authenticator.js"],
  ["pages/pages.ts", "../internal/pages/static/pages.js"],
];

for (const [from, to] of bundles) {
  if (!existsSync(new URL(from, import.meta.url))) throw new Error(`${from} is missing`);
  await build({
    absWorkingDir: new URL(".", import.meta.url).pathname,
    entryPoints: [from],
    outfile: to,
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022"],
    legalComments: "none",
    logLevel: "info",
  });
}
