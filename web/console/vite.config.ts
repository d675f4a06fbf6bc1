import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The output is committed (internal/console/static), so it must come out the same
// everywhere: no source maps, names by content.
export default defineConfig({
  base: "/console/",
  plugins: [react()],
  build: {
    outDir: "../../internal/console/static",
    emptyOutDir: true,
    sourcemap: false,
    license: { fileName: "assets/licences.txt" },
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    target: "es2022",
  },
});
