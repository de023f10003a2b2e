// Opens our templates in the page's language: their notes line by line, and the titles of groups and nodes.
import { app } from "../../scripts/app.js";
import { translations } from "./language.js";

const NOTE = "MarkdownNote";

function translate(graph, words) {
  const notes = graph?.nodes?.filter?.((node) => node.type === NOTE) ?? [];
  const first = (note) => note.widgets_values?.[0]?.split?.("\n")[0];
  if (!notes.some((note) => words[first(note)])) return; // somebody else's graph, or one that was translated before
  const say = (text) => words[text] ?? text;
  for (const note of notes) note.widgets_values[0] = note.widgets_values[0].split("\n").map(say).join("\n");
  for (const part of [...graph.nodes, ...(graph.groups ?? [])]) if (part.title) part.title = say(part.title);
}

app.registerExtension({
  name: "USO.templates",

  async setup() {
    const words = (await translations()).usoTemplates;
    if (!words) return;
    const load = app.loadGraphData;
    app.loadGraphData = function (graph, ...rest) {
      translate(graph, words);
      return load.call(this, graph, ...rest);
    };
  },
});
