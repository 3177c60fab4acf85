// Three pages, each a front end of its own kind; built to dist/, served by the tests.
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = resolve(here, "pages");
const pages = readdirSync(folder).filter((name) => name.endsWith(".html"));

export default defineConfig({
  root: folder,
  base: "./",
  oxc: { jsx: { runtime: "automatic" } },
  build: {
    outDir: resolve(here, "dist"),
    emptyOutDir: true,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 4000,
    rolldownOptions: { input: pages.map((name) => resolve(folder, name)) },
  },
});
