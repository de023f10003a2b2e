// USO Example shows the chosen pair, before the run and after it.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const HEIGHT = 128;

app.registerExtension({
  name: "USO.example",

  nodeCreated(node) {
    if (node.comfyClass !== "USO_Example") return;
    const choice = node.widgets.find((widget) => widget.name === "name");
    const picture = document.createElement("img");
    Object.assign(picture.style, { width: "100%", height: "100%", objectFit: "contain" });

    const show = () => {
      picture.alt = choice.value;
      picture.src = api.apiURL(`/uso/example?name=${encodeURIComponent(choice.value)}`);
    };
    const chosen = choice.callback;
    choice.callback = function (...values) {
      chosen?.apply(this, values);
      show();
    };
    const configured = node.onConfigure;
    node.onConfigure = function (...saved) {
      configured?.apply(this, saved);
      show();
    };

    const widget = node.addDOMWidget("thumbnail", "uso_thumbnail", picture, {
      serialize: false,
      getMinHeight: () => HEIGHT,
    });
    widget.serialize = false; // neither in a saved graph nor in the prompt
    node.setSize([Math.max(node.size[0], 2 * HEIGHT + 20), node.computeSize()[1]]);
    show();
  },
});
