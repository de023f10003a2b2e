// The list, of which only the rows in sight are in the page, and the keys.
"use strict";
window.review.list = (() => {
  const data = window.review, { $, make } = data.filters, { filters, store, detail } = data;
  const list = $("list"), space = $("space"), drawn = new Map();
  let now = 0, timer = 0;

  const height = () => Number(getComputedStyle(document.documentElement).getPropertyValue("--row"));
  const short = value => String(Number(value.toPrecision(4)));

  function element(row) {
    const found = make("div"), about = make("div", undefined, "about"), numbers = make("div", undefined, "numbers");
    found.id = `row-${row}`;
    found.setAttribute("role", "option");
    found.append(...[0, 1, 2].map(place => detail.figure(row, place)), about);
    const why = data.reasons[0][data.reasons[1][row]], group = data.groups[0][data.groups[1][row]];
    about.append(make("div", data.keys[row], "text name"));
    const state = make("div", `${data.standings[0][data.standings[1][row]]}, ${data.layouts[0][data.layouts[1][row]]}`, "text");
    if (group) state.append(", ", make("bdi", group));
    about.append(state);
    if (why) about.append(make("div", why, "text why"));
    if (data.prompts[row]) about.append(make("div", data.prompts[row], "text prompt quiet"));
    if (data.subjects[row]) about.append(make("div", `style shows: ${data.subjects[row]}`, "text quiet"));
    for (const [name, values] of data.scores) if (values[row] !== null) numbers.append(make("span", `${name} ${short(values[row])}`));
    about.append(numbers, detail.buttons(row));
    found.onclick = () => { now = filters.rows().indexOf(row); render(); };
    return found;
  }

  function mark(found, row, place) {
    const state = store.of(row);
    found.className = `row${place === now ? " now" : ""}${state === null ? "" : state ? " accepted" : " rejected"}`;
    found.setAttribute("aria-selected", String(place === now));
    found.setAttribute("aria-posinset", place + 1);
    found.setAttribute("aria-setsize", filters.rows().length);
    found.setAttribute("aria-label", `${data.keys[row].slice(0, 80)}${state === null ? "" : state ? ", accepted" : ", rejected"}`);
  }

  function render() {
    const rows = filters.rows(), tall = height();
    const first = Math.max(0, Math.floor(list.scrollTop / tall) - 3), last = Math.min(rows.length, Math.ceil((list.scrollTop + list.clientHeight) / tall) + 3);
    const seen = new Set(rows.slice(first, last));
    for (const [row, found] of drawn) if (!seen.has(row)) { found.remove(); drawn.delete(row); }
    for (let place = first; place < last; place++) {
      const row = rows[place];
      let found = drawn.get(row);
      if (!found) { found = element(row); drawn.set(row, found); space.append(found); }
      found.style.top = `${place * tall}px`;
      mark(found, row, place);
    }
    list.setAttribute("aria-activedescendant", rows.length ? `row-${rows[now]}` : "");
  }

  function go(place) {
    const rows = filters.rows(), tall = height();
    if (!rows.length) return;
    now = Math.max(0, Math.min(rows.length - 1, place));
    const around = list.clientHeight > 3 * tall ? tall / 2 : 0; // so that the next one is seen coming
    if (now * tall - around < list.scrollTop) list.scrollTop = now * tall - around;
    if ((now + 1) * tall + around > list.scrollTop + list.clientHeight) list.scrollTop = (now + 1) * tall + around - list.clientHeight;
    render();
    if (detail.isOpen()) detail.show(rows[now]);
  }

  function say(text) {
    $("message").textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => { $("message").textContent = ""; }, 4000);
  }

  function count() {
    const [yes, no] = store.tally(), all = data.ids.length;
    const sample = data.count > all ? `, a fair sample of ${data.count}` : "";
    $("counts").textContent = `${filters.rows().length} of ${all} rows${sample}; ${yes} accepted, ${no} rejected`;
    const { where, lost } = filters.said();
    $("command").textContent = lost.length ? "" : `uso curate accept ${data.place} --decisions decisions.jsonl${where ? ` --where "${where}"` : ""}`;
    $("nothing").hidden = filters.rows().length > 0;
    $("nothing").textContent = all ? "No row passes the filters." : "No rows yet: start `uso curate run`, then make this page again.";
  }

  function decide(accept, row = filters.rows()[now], onward = true) {
    if (row === undefined) return;
    const made = data.pictures[row];
    if (accept && !data.needs.every(place => made[place])) return say("There is nothing to accept yet: a picture of this row is not made.");
    if (store.of(row) !== accept) store.decide(row, accept);
    say(`${data.keys[row].slice(0, 80)}: ${accept === null ? "decision taken back" : accept ? "accepted" : "rejected"}${store.kept() ? "" : ". This browser keeps nothing: save the decisions before you close the page"}`);
    if (onward && accept !== null) go(now + 1);
  }

  function undo() {
    const row = store.undo();
    if (row === null) return say("There is nothing to undo.");
    const place = filters.rows().indexOf(row);
    say(`${data.keys[row].slice(0, 80)}: undone`);
    if (place >= 0) go(place);
  }

  function save() {
    if (!store.size()) return say("There are no decisions to save yet.");
    say(`${store.save()} decisions saved as decisions.jsonl.`);
  }

  const page = () => Math.max(1, Math.floor(list.clientHeight / height()) - 1);
  const KEYS = {
    a: () => decide(true), r: () => decide(false), c: () => decide(null), u: undo, s: save,
    n: () => go(now + 1), j: () => go(now + 1), ArrowDown: () => go(now + 1), ArrowRight: () => go(now + 1),
    p: () => go(now - 1), k: () => go(now - 1), ArrowUp: () => go(now - 1), ArrowLeft: () => go(now - 1),
    PageDown: () => go(now + page()), PageUp: () => go(now - page()), Home: () => go(0), End: () => go(filters.rows().length - 1),
    Enter: () => { if (filters.rows().length) detail.show(filters.rows()[now]); },
    "/": () => { if (!detail.isOpen()) $("search").focus(); }, "?": () => $("keys").showModal(),
  };

  function pressed(event) {
    const at = event.target, letter = event.key.length === 1;
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    if (at.matches("input[type=search], textarea, select")) { if (event.key === "Escape") list.focus(); return; }
    if (!letter && at.matches("input, button, summary")) return; // arrows move sliders, Enter presses buttons
    const call = KEYS[letter ? event.key.toLowerCase() : event.key];
    if (!call) return;
    event.preventDefault();
    call();
  }

  function start() {
    document.title = `${data.run}: review`;
    $("title").textContent = `${data.run}`;
    $("title").title = `made ${new Date(data.made * 1000).toLocaleString()}`;
    filters.build();
    filters.onChange(() => { now = 0; list.scrollTop = 0; space.style.height = `${filters.rows().length * height()}px`; render(); count(); });
    store.onChange(row => {
      const found = drawn.get(row);
      if (found) found.querySelector(".decide").replaceWith(detail.buttons(row));
      render();
      count();
      if (detail.isOpen() && row === filters.rows()[now]) detail.show(row);
    });
    list.onscroll = render;
    addEventListener("resize", () => { space.style.height = `${filters.rows().length * height()}px`; go(now); });
    document.addEventListener("keydown", pressed);
    $("undo").onclick = undo;
    $("save").onclick = save;
    $("help").onclick = () => $("keys").showModal();
    if (matchMedia("(max-width: 760px)").matches) $("filters").open = false;
    filters.apply();
    list.focus();
  }

  return { start, decide, open: row => { now = filters.rows().indexOf(row); render(); detail.show(row); } };
})();
window.review.list.start();
