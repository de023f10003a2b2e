// Shows the values of our lists in the page's language, as "translation (value)". Saved graphs keep the value itself.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

let nodes = {};

app.registerExtension({
  name: "USO.values",

  async init() {
    const language = app.ui.settings.getSettingValue("Comfy.Locale");
    const translations = await (await api.fetchApi("/i18n")).json();
    nodes = translations[language]?.nodeDefs ?? {};
  },

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("USO_")) return;
    for (const widget of node.widgets ?? []) {
      const words = nodes[node.comfyClass]?.inputs?.[widget.name]?.options;
      if (words) widget.options.getOptionLabel = (value) => (words[value] ? `${words[value]} (${value})` : value ?? "");
    }
  },
});
