// Shows the values of our lists in the page's language, as "translation (value)". Saved graphs keep the value itself.
import { app } from "../../scripts/app.js";
import { translations } from "./language.js";

let nodes = {};

app.registerExtension({
  name: "USO.values",

  async init() {
    nodes = (await translations()).nodeDefs ?? {};
  },

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("USO_")) return;
    for (const widget of node.widgets ?? []) {
      const words = nodes[node.comfyClass]?.inputs?.[widget.name]?.options;
      if (words) widget.options.getOptionLabel = (value) => (words[value] ? `${words[value]} (${value})` : value ?? "");
    }
  },
});
