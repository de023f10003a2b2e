// Help pages link to docs/ as it lies in the repository; here those pages have an address on the server.
import { api } from "../../scripts/api.js";

const DOCS = /^(?:\.\.\/)+(docs\/\w+\.md(?:#[\w-]+)?)$/;

function lead(event) {
  const link = event.target.closest?.("a[href]");
  const place = link?.getAttribute("href").match(DOCS);
  if (place) link.href = api.apiURL(`/uso/${place[1]}`);
}

for (const reached of ["pointerover", "focusin"]) document.addEventListener(reached, lead, true);
