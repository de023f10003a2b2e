// Colours of the sockets that the page has none for; a palette that names them keeps its own.
import { app } from "../../scripts/app.js";

const COLOURS = {
  USO_FEATURES: "#b06fc4",
  USO_STYLE: "#e040fb",
  USO_CONTENT: "#26c6da",
  MODEL_PATCH: "#c9a227",
};

// The page empties the colours of all types that a palette does not name, whenever one is chosen.
function fallBack(table, type, colour) {
  let chosen = table[type];
  Object.defineProperty(table, type, {
    configurable: true,
    enumerable: true,
    get: () => chosen || colour,
    set: (value) => (chosen = value),
  });
}

app.registerExtension({
  name: "USO.colours",

  setup() {
    for (const [type, colour] of Object.entries(COLOURS)) {
      for (const table of [LGraphCanvas.link_type_colors, app.canvas.default_connection_color_byType]) {
        fallBack(table, type, colour);
      }
    }
    const rules = Object.entries(COLOURS).map(([type, colour]) => `--color-datatype-${type}: ${colour};`);
    const style = document.createElement("style");
    style.textContent = `:root { ${rules.join(" ")} }`;
    document.head.append(style);
  },
});
