// Decisions: kept in this browser, one item a row, and saved as the lines that `uso curate accept --decisions` reads.
"use strict";
window.review.store = (() => {
  const data = window.review, prefix = `uso-review/${data.store}/`;
  const places = new Map(data.ids.map((id, row) => [id, row]));
  const found = new Map(data.decisions.map(([row, accept, time]) => [row, { accept, time }]));
  const own = new Map(); // what was decided here, of rows that are not on this page, too
  const history = [], changed = [];
  let unsaved = false, kept = true;

  function take(id, text) {
    let told;
    try { told = JSON.parse(text); } catch { return; }
    if (!told || typeof told.time !== "number" || ![true, false, null].includes(told.accept)) return;
    own.set(id, { row: id, accept: told.accept, time: told.time, pictures: String(told.pictures || "") });
    const row = places.get(id);
    // One of pictures that the row has no more does not count.
    if (row === undefined || told.pictures !== data.seen[row] || (found.has(row) && found.get(row).time >= told.time)) return;
    found.set(row, { accept: told.accept, time: told.time });
  }

  try {
    for (let place = 0; place < localStorage.length; place++) {
      const key = localStorage.key(place);
      if (key.startsWith(prefix)) take(key.slice(prefix.length), localStorage.getItem(key));
    }
  } catch { kept = false; }

  const of = row => (found.has(row) ? found.get(row).accept : null);

  function set(row, accept) {
    const id = data.ids[row], before = Math.max(found.get(row)?.time || 0, own.get(id)?.time || 0);
    const text = JSON.stringify({ accept, time: Math.max(Date.now() / 1000, before + .001), pictures: data.seen[row] });
    take(id, text);
    unsaved = true;
    try { localStorage.setItem(prefix + id, text); } catch { kept = false; }
    for (const call of changed) call(row);
  }

  function decide(row, accept) {
    history.push([row, of(row)]);
    set(row, accept);
  }

  function undo() {
    const last = history.pop();
    if (!last) return null;
    set(...last);
    return last[0];
  }

  const lines = () => [...own.values()].sort((one, other) => one.time - other.time).map(told => JSON.stringify(told) + "\n").join("");

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines()], { type: "application/jsonl" }));
    link.download = "decisions.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    unsaved = false;
    return own.size;
  }

  function tally() {
    let yes = 0, no = 0;
    for (const { accept } of found.values()) { if (accept === true) yes += 1; else if (accept === false) no += 1; }
    return [yes, no];
  }

  // Another window of the same page.
  addEventListener("storage", event => {
    if (event.key === null || !event.key.startsWith(prefix) || event.newValue === null) return;
    const id = event.key.slice(prefix.length);
    take(id, event.newValue);
    if (places.has(id)) for (const call of changed) call(places.get(id));
  });
  addEventListener("beforeunload", event => { if (unsaved && !kept) event.preventDefault(); });

  return { of, decide, undo, save, tally, kept: () => kept, size: () => own.size, onChange: call => changed.push(call) };
})();
