// A graph that was saved before an input existed means what the node did then, which need not be the new default.
import { app } from "../../scripts/app.js";

const BEFORE = { USO_EncodeContent: { size_rule: "nearest" } };

function complete(node, saved) {
  const values = saved.widgets_values;
  if (!values) return; // it was made, not saved
  const kept = node.widgets.filter((widget) => widget.serialize !== false);
  for (const [name, value] of Object.entries(BEFORE[node.comfyClass])) {
    const place = kept.findIndex((widget) => widget.name === name);
    const isSaved = Array.isArray(values) ? place < values.length : name in values;
    if (place >= 0 && !isSaved) kept[place].value = value;
  }
}

app.registerExtension({
  name: "USO.old_graphs",

  nodeCreated(node) {
    if (!(node.comfyClass in BEFORE)) return;
    const configured = node.onConfigure;
    node.onConfigure = function (saved) {
      configured?.call(this, saved);
      complete(node, saved);
    };
  },

  setup() {
    const load = app.loadApiJson;
    app.loadApiJson = function (prompt, ...rest) {
      for (const node of Object.values(prompt)) {
        node.inputs = { ...BEFORE[node.class_type], ...node.inputs };
      }
      return load.call(this, prompt, ...rest);
    };
  },
});
