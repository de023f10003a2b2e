// Classic rendering folds widgets that have `advanced`; the page sets only `options.advanced`, which Nodes 2.0 folds by.
import { app } from "../../scripts/app.js";

const ALWAYS_SHOWN = "Comfy.Node.AlwaysShowAdvancedWidgets";
const FAR_AWAY = -100_000;

function isLinked(node, widget) {
  return node.inputs?.some((input) => input.widget?.name === widget.name && input.link != null);
}

function fitHeight(node) {
  node.setSize([node.size[0], node.computeSize()[1]]);
}

app.registerExtension({
  name: "USO.advanced",

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("USO_")) return;
    const folded = node.widgets?.filter((widget) => widget.options?.advanced) ?? [];
    if (!folded.length) return;
    for (const widget of folded) {
      Object.defineProperty(widget, "advanced", {
        configurable: true,
        enumerable: true,
        // A link that comes in has to be seen, as in Nodes 2.0.
        get: () => !app.ui.settings.getSettingValue(ALWAYS_SHOWN) && !isLinked(node, widget),
      });
    }

    // The page does not draw folded widgets, but leaves their space free and their sockets within reach of a link.
    const layout = node.getLayoutWidgets;
    node.getLayoutWidgets = function () {
      const hidden = (widget) => widget.advanced && !this.showAdvanced;
      const all = layout?.call(this) ?? [];
      for (const widget of all.filter(hidden)) widget.y = FAR_AWAY;
      return all.filter((widget) => !hidden(widget));
    };

    // The page lets a node grow when they are shown, and never shrink.
    const toggle = node.toggleAdvanced;
    node.toggleAdvanced = function () {
      toggle?.call(this);
      if (!this.showAdvanced) fitHeight(this);
    };

    // The page measured the node with all of them. A saved graph brings its own size after this.
    fitHeight(node);
  },
});
