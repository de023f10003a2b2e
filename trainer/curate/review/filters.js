// Which rows are shown and in which order: sliders over histograms, choices, words, sorting.
"use strict";
window.review.details = []; // of the files that were asked for
window.review.filters = (() => {
  const data = window.review, count = data.ids.length, BINS = 40;
  const $ = id => document.getElementById(id);
  const make = (tag, text, kind) => {
    const found = document.createElement(tag);
    if (text !== undefined) found.textContent = text; // never as HTML: texts are those of strangers
    if (kind) found.className = kind;
    return found;
  };
  const words = data.keys.map((key, row) => [
    key, data.prompts[row], data.subjects[row], data.reasons[0][data.reasons[1][row]], data.groups[0][data.groups[1][row]],
  ].join("\n").toLowerCase());

  // A slider goes in steps of 1, 2 or 5 times a power of ten, so that what it says is short and exact.
  function stepOf(low, high, whole) {
    if (whole && high - low <= 200) return 1;
    const rough = (high - low) / 150 || 1, power = 10 ** Math.floor(Math.log10(rough));
    return power * (rough <= power ? 1 : rough <= 2 * power ? 2 : rough <= 5 * power ? 5 : 10);
  }
  const text = (value, step) => String(Number(value.toFixed(Math.max(0, Math.min(12, 2 - Math.floor(Math.log10(step)))))));

  const scores = data.scores.map(([name, values]) => {
    const known = values.filter(value => value !== null);
    const whole = known.every(Number.isInteger);
    let low = Infinity, high = -Infinity;
    for (const value of known) { if (value < low) low = value; if (value > high) high = value; }
    const step = stepOf(low, high, whole);
    const from = Number(text(Math.floor(low / step + 1e-9) * step, step)), to = Number(text(Math.ceil(high / step - 1e-9) * step, step));
    const score = { name, values: Float64Array.from(values, value => value === null ? NaN : value), from, to, step, low: from, high: to };
    score.bins = score.values.map(value => Math.min(BINS - 1, Math.max(0, Math.floor((value - from) / (to - from || 1) * BINS))));
    score.all = new Uint32Array(BINS);
    score.values.forEach((value, row) => { if (value === value) score.all[score.bins[row]] += 1; });
    return score;
  }).filter(score => score.from < score.to); // one that is the same everywhere tells no rows apart

  const decisionCode = row => { const found = data.store.of(row); return found === null ? 0 : found ? 1 : 2; };
  const choices = [
    { name: "standing", of: data.standings, code: row => data.standings[1][row] },
    { name: "decision", of: [["undecided", "accepted", "rejected"]], code: decisionCode },
    { name: "layout", of: data.layouts, code: row => data.layouts[1][row], wheres: data.wheres.layout },
    { name: "group", of: data.groups, code: row => data.groups[1][row], wheres: data.wheres.group },
    { name: "reason", of: data.reasons, code: row => data.reasons[1][row] },
  ].filter(choice => choice.name === "decision" || choice.of[0].length > 1);

  let view = [], said = { where: "", left: [], lost: [] };
  const changed = [];

  function passing() {
    const wanted = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const limits = scores.filter(score => score.low > score.from || score.high < score.to);
    const chosen = choices.filter(choice => choice.select.value !== "");
    const found = [];
    rows: for (let row = 0; row < count; row++) {
      for (const score of limits) {
        const value = score.values[row]; // a row without the score is left out, as --where leaves it out
        if (!((score.low <= score.from || value >= score.low) && (score.high >= score.to || value <= score.high)) || value !== value) continue rows;
      }
      for (const choice of chosen) if (choice.code(row) !== Number(choice.select.value)) continue rows;
      for (const word of wanted) if (!words[row].includes(word)) continue rows;
      found.push(row);
    }
    return found;
  }

  function sorted(rows) {
    const by = $("sort").value, sign = $("falling").checked ? -1 : 1;
    if (by === "source") return sign < 0 ? rows.reverse() : rows;
    const values = by === "reason" ? rows.length && data.reasons[1] : scores[Number(by)].values;
    const key = by === "reason" ? row => data.reasons[0][values[row]] : row => values[row];
    const known = rows.filter(row => key(row) === key(row)), rest = rows.filter(row => key(row) !== key(row));
    known.sort((one, other) => (key(one) < key(other) ? -sign : key(one) > key(other) ? sign : one - other));
    return known.concat(rest);
  }

  function apply() {
    view = sorted(passing());
    for (const score of scores) {
      const bins = new Uint32Array(BINS);
      for (const row of view) if (score.values[row] === score.values[row]) bins[score.bins[row]] += 1;
      score.some = bins;
      draw(score);
      score.output.textContent = `${text(score.low, score.step)} to ${text(score.high, score.step)}`;
    }
    said = expression();
    $("where").value = said.where;
    $("untold").textContent = said.lost.length
      ? `No expression can say this on a command line: ${said.lost.join(", ")}. So there is no command for the rows that you see; decide about them here.`
      : said.left.length ? `The expression and the command leave out: ${said.left.join(", ")}. They take rows whatever these filters say.` : "";
    for (const call of changed) call();
  }

  function draw(score) {
    const canvas = score.canvas, pen = canvas.getContext("2d"), style = getComputedStyle(canvas);
    const width = canvas.width = canvas.clientWidth * devicePixelRatio, height = canvas.height = canvas.clientHeight * devicePixelRatio;
    const most = Math.max(1, ...score.all);
    const bar = (bins, colour, alpha) => {
      pen.fillStyle = colour;
      pen.globalAlpha = alpha;
      bins.forEach((number, bin) => {
        const tall = number && Math.max(1, number / most * height);
        pen.fillRect(bin * width / BINS, height - tall, width / BINS - 1, tall);
      });
    };
    bar(score.all, getComputedStyle(document.body).color, .25);
    bar(score.some, style.color, 1);
    canvas.setAttribute("aria-label", `${score.name}: histogram from ${score.from} to ${score.to}`);
  }

  // What the filters say as --where reads it, the names of those that it never has (`left`), and of those that it cannot
  // have (`lost`). It will be pasted into a shell, so that names of strangers go in only where no shell sees more than
  // text in them.
  function expression() {
    const parts = [], left = [], lost = [];
    if (data.where && data.pasteable) parts.push(`(${data.where})`);
    else if (data.where) lost.push("--where, by which this page was made");
    for (const score of scores) {
      if (score.low <= score.from && score.high >= score.to) continue;
      if (!/^(?!(and|or|not)$)[a-z_][\w.]*$/i.test(score.name)) { lost.push(score.name); continue; }
      if (score.low > score.from) parts.push(`${score.name}>=${text(score.low, score.step)}`);
      if (score.high < score.to) parts.push(`${score.name}<=${text(score.high, score.step)}`);
    }
    for (const choice of choices) {
      if (choice.select.value === "") continue;
      const where = choice.wheres && choice.wheres[Number(choice.select.value)];
      if (where) parts.push(where);
      else (choice.wheres ? lost : left).push(choice.name);
    }
    if ($("search").value.trim()) left.push("search");
    return { where: lost.length ? "" : parts.join(" and "), left, lost };
  }

  function slider(score, name, first) {
    const input = make("input");
    Object.assign(input, { type: "range", min: score.from, max: score.to, step: score.step, value: first });
    input.setAttribute("aria-label", `${score.name}, ${name}`);
    input.oninput = () => { score[name] = Number(input.value); apply(); };
    return input;
  }

  function build() {
    for (const choice of choices) {
      const label = make("label", `${choice.name} `), select = choice.select = make("select");
      select.id = `choice-${choice.name}`;
      select.append(new Option("any", ""), ...choice.of[0].map((name, code) => new Option(name.slice(0, 80) || "(none)", code)));
      select.onchange = apply;
      label.append(select);
      $("choices").append(label);
    }
    for (const score of scores) {
      const field = make("fieldset");
      score.canvas = make("canvas");
      score.canvas.setAttribute("role", "img");
      score.output = make("output");
      score.sliders = [slider(score, "low", score.from), slider(score, "high", score.to)];
      field.append(make("legend", score.name), score.output, score.canvas, ...score.sliders);
      $("scores").append(field);
    }
    $("sort").append(new Option("the source", "source"), ...scores.map((score, place) => new Option(score.name, place)));
    if (data.reasons[0].length > 1) $("sort").append(new Option("reason", "reason"));
    $("sort").onchange = $("falling").onchange = $("search").oninput = apply;
    $("clear").onclick = () => {
      $("search").value = "";
      for (const choice of choices) choice.select.value = "";
      for (const score of scores) {
        [score.low, score.high] = [score.from, score.to];
        [score.sliders[0].value, score.sliders[1].value] = [score.from, score.to];
      }
      apply();
    };
    addEventListener("resize", () => scores.forEach(draw));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => scores.forEach(draw));
  }

  return { build, apply, make, $, rows: () => view, said: () => said, onChange: call => changed.push(call) };
})();
