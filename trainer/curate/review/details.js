// A row in large: its pictures, and all that is known of it, read from a file of some hundred rows when it is asked for.
"use strict";
window.review.detail = (() => {
  const data = window.review, { $, make } = data.filters, NAMES = ["target", "style", "content"];
  const dialog = $("detail"), asked = new Map();
  let open = null;

  function figure(row, place, alone) {
    const found = make("figure"), hash = data.pictures[row][place];
    if (hash) {
      const image = make("img");
      image.loading = "lazy";
      image.decoding = "async";
      image.alt = NAMES[place];
      image.onerror = () => image.replaceWith(make("span", "not there any more", "none"));
      image.src = `${data.folder}/${hash.slice(0, 2)}/${hash}${data.ending}`;
      found.append(image);
    } else found.append(make("span", "not made", "none"));
    found.append(make("figcaption", NAMES[place]));
    if (!alone && hash) found.onclick = () => data.list.open(row);
    return found;
  }

  function buttons(row) {
    const found = make("div", undefined, "decide"), now = data.store.of(row);
    for (const [name, accept, kind] of [["Accept", true, "yes"], ["Reject", false, "no"]]) {
      const button = make("button", name, kind);
      button.setAttribute("aria-pressed", String(now === accept));
      button.onclick = event => { event.stopPropagation(); data.list.decide(now === accept ? null : accept, row, false); };
      found.append(button);
    }
    found.append(make("span", now === null ? "" : now ? "accepted" : "rejected", now === null ? "" : now ? "yes" : "no"));
    return found;
  }

  function part([title, lines], folded) {
    const list = make("dl");
    for (const [name, text] of lines) list.append(make("dt", name, "text"), make("dd", text, "text"));
    if (!folded) return [make("h2", title), list];
    const found = make("details");
    found.append(make("summary", title), list);
    return [found];
  }

  function partsOf(row) {
    const number = Math.floor(row / data.perFile);
    if (!asked.has(number)) {
      asked.set(number, new Promise((give, refuse) => {
        const script = make("script");
        script.src = `${document.body.dataset.folder}/details-${number}.js`;
        script.onload = () => (data.details[number] ? give(data.details[number]) : refuse());
        script.onerror = refuse;
        document.head.append(script);
      }));
    }
    return asked.get(number).then(found => found[row % data.perFile]);
  }

  function show(row) {
    const again = dialog.open && open === row, was = dialog.scrollTop;
    open = row;
    const state = data.store.of(row), head = make("div", undefined, state === null ? "" : state ? "accepted" : "rejected");
    const name = make("span", data.keys[row], "text name"), why = data.reasons[0][data.reasons[1][row]];
    head.append(name, make("span", `  ${data.standings[0][data.standings[1][row]]}${why ? ": " : ""}`), make("span", why, "text why"), buttons(row));
    const close = make("button", "Close", "close");
    close.onclick = () => dialog.close();
    head.prepend(close);
    const large = make("div", undefined, "large");
    large.append(...NAMES.map((_, place) => figure(row, place, true)));
    const rest = make("div");
    dialog.replaceChildren(head, large, rest);
    if (!dialog.open) dialog.showModal();
    dialog.focus(); // and not the first button, which another Enter would press
    const numbers = make("div", undefined, "all");
    for (const [score, values] of data.scores) {
      if (values[row] === null) continue;
      const one = make("span", score);
      one.append(make("b", String(values[row])));
      numbers.append(one);
    }
    partsOf(row).then(parts => {
      if (open !== row) return;
      rest.replaceChildren(make("h2", "Scores"), numbers, ...parts.flatMap(one => part(one)), ...data.settings.flatMap(one => part(one, true)));
      if (again) dialog.scrollTop = was;
    }).catch(() => {
      asked.delete(Math.floor(row / data.perFile));
      if (open === row) rest.replaceChildren(make("p", "This page was made anew in the meantime: reload it to see more of this row."));
    });
  }

  return { show, figure, buttons, isOpen: () => dialog.open };
})();
