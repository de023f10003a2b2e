// The server cannot tell a forgotten wire from one that comes from a muted node: both send nothing, and then a
// reference is off. Where nothing is connected to an input that its node needs, we send null, which the node refuses.
import { app } from "../../scripts/app.js";

// Return a node by its id in the prompt, such as "14:9": node 9 inside the subgraph node 14.
function nodeOf(id) {
  let graph = app.rootGraph;
  let node;
  for (const part of id.split(":")) {
    node = graph?.getNodeById(Number(part)) ?? graph?.getNodeById(part);
    graph = node?.subgraph;
  }
  return node;
}

function forgotten(node) {
  const described = node?.constructor.nodeData?.input?.optional ?? {};
  const unconnected = node?.inputs?.filter((input) => input.link == null) ?? [];
  return unconnected.map((input) => input.name).filter((name) => described[name]?.[1]?.needed);
}

app.registerExtension({
  name: "USO.forgotten",

  setup() {
    const toPrompt = app.graphToPrompt;
    app.graphToPrompt = async function (...given) {
      const made = await toPrompt.apply(this, given);
      for (const [id, sent] of Object.entries(made.output)) {
        if (!sent.class_type.startsWith("USO_")) continue;
        for (const name of forgotten(nodeOf(id))) sent.inputs[name] ??= null;
      }
      return made;
    };
  },
});
