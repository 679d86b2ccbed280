"use strict";
(async () => {
  const $ = id => document.getElementById(id);
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const drawn = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  async function unpack(text) {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }
  if (typeof DecompressionStream === "undefined") {
    $("detail").textContent = "This page needs a browser of 2023 or later.";
    return;
  }
  const atlas = await unpack($("index").textContent);
  const { count, columns, names, words } = atlas;
  const frequency = columns.active.map(active => active / atlas.rows);
  const state = i => columns.active[i] === 0 ? "dead" : frequency[i] > atlas.dense ? "dense" : "alive";

  // ---- numbers and tokens as text
  const number = value => value === null || value === undefined ? "–" : value === 0 ? "0"
    : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en")
    : Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  const percent = value => value === 0 ? "0 %" : value < 1e-4 ? `${(value * 100).toExponential(1)} %` : `${Number((value * 100).toPrecision(3))} %`;
  const visible = text => text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ (?=.)/, "").replace(/^ +$/, "␣").replace(/[\u0000-\u001f\u007f-\u009f]/g, letter => `\\x${letter.charCodeAt(0).toString(16).padStart(2, "0")}`) || "(nothing)";

  // ---- the list: only the rows in view exist
  const height = 52, list = $("list"), space = $("space");
  const often = i => columns.active[i] ? percent(frequency[i]) : "never";
  const orders = { // what it is called, the key, what a row shows of it
    active: ["most frequent", i => -columns.active[i], often],
    rare: ["least frequent", i => columns.active[i] || Infinity, often],
    max: ["largest activation", i => -columns.max[i], i => `max ${number(columns.max[i])}`],
    mean: ["largest mean activation", i => -columns.mean[i], i => `mean ${number(columns.mean[i])}`],
    ...(columns.effect && { effect: ["largest effect on the logits", i => -columns.effect[i], i => `effect ${number(columns.effect[i])}`] }),
    ...(columns.share && { share: ["most of one class", i => -columns.share[i], i => `share ${percent(columns.share[i])}`] }),
    near: ["nearest neighbour", i => -columns.cosine[i], i => `cosine ${columns.cosine[i].toFixed(2)}`],
    far: ["most by itself", i => columns.active[i] ? columns.cosine[i] : Infinity, i => `cosine ${columns.cosine[i].toFixed(2)}`],
    number: ["number", i => i, often],
  };
  for (const [key, [title]] of Object.entries(orders)) $("sort").append(new Option(title, key));
  const shown = { all: () => true, alive: i => columns.active[i] > 0, sparse: i => state(i) === "alive", dense: i => state(i) === "dense", dead: i => state(i) === "dead" };
  let found = [], place = new Map(), selected = null, top = 0;
  const largest = columns.active.reduce((a, b) => Math.max(a, b), 1);

  function search() {
    const query = $("query").value.trim().toLowerCase(), wanted = query.split(/\s+/).filter(Boolean);
    const exact = /^#?\d+$/.test(query) ? Number(query.replace("#", "")) : -1;
    const keep = shown[$("show").value], key = orders[$("sort").value][1];
    const keys = new Float64Array(count);
    found = [];
    for (let i = 0; i < count; i++) {
      if (i === exact || (keep(i) && wanted.every(word => words[i].includes(word)))) { found.push(i); keys[i] = key(i); }
    }
    found.sort((a, b) => keys[a] - keys[b] || a - b);
    if (exact >= 0 && exact < count) found = [exact, ...found.filter(i => i !== exact)];
    place = new Map(found.map((latent, at) => [latent, at]));
    $("count").value = `${found.length.toLocaleString("en")} of ${count.toLocaleString("en")}`;
    space.style.height = `${found.length * height}px`;
    list.scrollTop = 0;
    render();
  }

  function row(latent, at) {
    const kind = state(latent), element = make("div", `row ${kind}`);
    element.id = `row-${latent}`;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", String(latent === selected));
    element.style.top = `${at * height}px`;
    element.append(make("span", "number", latent), make("span", "name", names[latent] || (kind === "dead" ? "dead" : "")),
      make("span", "value", orders[$("sort").value][2](latent)));
    const meter = make("div", "meter"), bar = make("i");
    bar.style.width = `${100 * (columns.active[latent] ? Math.log1p(columns.active[latent]) / Math.log1p(largest) : 0)}%`;
    meter.append(bar);
    element.append(meter);
    element.addEventListener("click", () => go(latent, true));
    return element;
  }

  function render() {
    const first = Math.max(0, Math.floor(list.scrollTop / height) - 4);
    const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / height) + 4);
    space.replaceChildren(...found.slice(first, last).map((latent, at) => row(latent, first + at)));
    if (!found.length) space.replaceChildren(make("p", "empty", "No latent matches. Clear the search, or show all."));
    list.setAttribute("aria-activedescendant", selected === null ? "" : `row-${selected}`);
  }
  let waiting = false;
  list.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; render(); });
  }, { passive: true });

  function reveal(latent) {
    const at = place.get(latent);
    if (at === undefined) return;
    if (at * height < list.scrollTop) list.scrollTop = at * height;
    else if ((at + 1) * height > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * height - list.clientHeight;
  }

  // ---- what a latent's page is drawn from: a chunk of latents at a time, unpacked when it is first asked for
  const chunks = new Map(), arriving = new Map();
  window.atlasChunk = (number, text) => arriving.get(number)?.(text);
  function chunk(number) {
    if (!chunks.has(number)) {
      const inside = $(`chunk-${number}`);
      const text = inside ? Promise.resolve(inside.textContent) : new Promise((resolve, reject) => {
        arriving.set(number, resolve);
        const script = make("script");
        script.src = `${atlas.folder}/chunk-${number}.js`;
        script.onerror = () => reject(new Error(`${script.src} is missing; keep the folder ${atlas.folder} beside this page`));
        document.head.append(script);
      });
      chunks.set(number, text.then(unpack));
    }
    return chunks.get(number);
  }
  const sheets = atlas.sheets.map((sheet, at) => {
    const inside = $(`sheet-${at}`);
    return inside ? URL.createObjectURL(new Blob([bytes(inside.textContent)], { type: inside.dataset.type })) : `${atlas.folder}/${sheet.file}`;
  });

  // ---- small charts
  const ticks = (low, high, wanted) => {
    const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find(each => each * power >= rough) * power, at = [];
    for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) at.push(Math.abs(value) < step * 1e-9 ? 0 : value);
    return at;
  };
  const decades = (low, high) => {
    const at = [];
    for (let power = Math.ceil(low - 1e-9); power <= high + 1e-9; power++) at.push(power);
    const every = Math.ceil(at.length / 5);
    return at.filter((_, place) => place % every === 0);
  };
  const asPower = power => power >= -3 && power <= 3 ? String(Number((10 ** power).toPrecision(1))) : `1e${power}`;
  function frame(element, size, x, y, titles) {
    const { width, height: tall } = size, left = titles.y ? 46 : 8, bottom = 32, right = 6, above = 8;
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${tall}`, role: "img", "aria-label": titles.alt });
    const across = value => left + (value - x.low) / (x.high - x.low || 1) * (width - left - right);
    const up = value => tall - bottom - (value - y.low) / (y.high - y.low || 1) * (tall - bottom - above);
    svg.append(drawn("line", { x1: left, x2: width - right, y1: tall - bottom, y2: tall - bottom, class: "axis" }));
    for (const value of x.ticks) {
      const end = across(value);
      svg.append(drawn("text", { x: end, y: tall - bottom + 13, "text-anchor": end > width - 14 ? "end" : end < left + 4 ? "start" : "middle" }, x.text(value)));
    }
    for (const value of y.ticks) {
      svg.append(drawn("line", { x1: left, x2: width - right, y1: up(value), y2: up(value), class: "axis" }));
      svg.append(drawn("text", { x: left - 5, y: up(value) + 3.5, "text-anchor": "end" }, y.text(value)));
    }
    if (titles.x) svg.append(drawn("text", { x: (left + width - right) / 2, y: tall - 4, "text-anchor": "middle" }, titles.x));
    if (titles.y) svg.append(drawn("text", { x: -(above + tall - bottom) / 2, y: 10, transform: "rotate(-90)", "text-anchor": "middle" }, titles.y));
    element.replaceChildren(svg);
    return { svg, across, up };
  }
  const sizeOf = element => ({ width: Math.max(160, element.clientWidth), height: Math.max(50, element.clientHeight) });
  const missing = (element, text) => element.replaceChildren(make("p", "empty", text));

  function drawFrequencies() {
    const element = $("frequencies"), logs = frequency.filter(value => value > 0).map(Math.log10);
    if (!logs.length) return missing(element, "Every latent is dead on this data.");
    const low = Math.floor(logs.reduce((a, b) => Math.min(a, b), 0) - 1e-9), bins = Math.max(1, -low) * 6, counts = new Array(bins).fill(0);
    for (const value of logs) counts[Math.min(bins - 1, Math.floor((value - low) / -low * bins))]++;
    const most = Math.max(...counts);
    const plot = frame(element, sizeOf(element), { low, high: 0, ticks: decades(low, 0), text: asPower }, { low: 0, high: most, ticks: ticks(0, most, 4).filter(Number.isInteger), text: number },
      { x: "share of positions", y: "latents", alt: "Histogram of how often latents fire" });
    counts.forEach((value, at) => {
      const x = plot.across(low + at / bins * -low), end = plot.across(low + (at + 1) / bins * -low);
      plot.svg.append(drawn("rect", { x: x + .5, width: Math.max(.5, end - x - 1), y: plot.up(value), height: plot.up(0) - plot.up(value), class: "mark" }));
    });
  }

  function drawTraining() {
    const { steps, fvu } = atlas.training;
    $("training-figure").hidden = steps.length < 2;
    if (steps.length < 2) return;
    const known = fvu.filter(value => value > 0).map(Math.log10), element = $("training");
    if (!known.length) return missing(element, "No positive value to draw.");
    const low = Math.min(...known), high = Math.max(...known, low + .3), marks = [], size = sizeOf(element);
    for (let power = Math.floor(low); power <= Math.ceil(high); power++) for (const part of [1, 2, 5]) marks.push(power + Math.log10(part));
    const plot = frame(element, size, { low: 0, high: steps.at(-1), ticks: ticks(0, steps.at(-1), 4), text: number },
      { low, high, ticks: marks.filter(value => value >= low && value <= high), text: value => String(Number((10 ** value).toPrecision(1))) },
      { x: "step", y: "FVU", alt: "Fraction of variance unexplained by training step" });
    const path = steps.map((step, at) => fvu[at] > 0 ? `${plot.across(step).toFixed(1)},${plot.up(Math.log10(fvu[at])).toFixed(1)}` : "").filter(Boolean);
    plot.svg.append(drawn("polyline", { points: path.join(" "), class: "curve" }));
  }

  let points = [];
  function drawScatter() {
    const element = $("scatter"), alive = [...frequency.keys()].filter(i => frequency[i] > 0 && columns.max[i] > 0);
    if (!alive.length) return missing(element, "Every latent is dead on this data.");
    const xs = alive.map(i => Math.log10(frequency[i])), ys = alive.map(i => Math.log10(columns.max[i]));
    const range = values => { const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b)); return [low - .08, Math.max(high, low + .4) + .08]; };
    const [left, right] = range(xs), [low, high] = range(ys), size = sizeOf(element), marks = [];
    for (let power = Math.floor(low); power <= Math.ceil(high); power++) for (const part of high - low < 1.5 ? [1, 2, 5] : [1]) marks.push(power + Math.log10(part));
    const plot = frame(element, size, { low: left, high: right, ticks: decades(left, right), text: asPower },
      { low, high, ticks: marks.filter(value => value >= low && value <= high), text: value => number(10 ** value) }, { x: "share of positions", y: "max", alt: "Largest activation against frequency" });
    const canvas = make("canvas"), ratio = devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
    canvas.width = size.width * ratio;
    canvas.height = size.height * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    points = alive.map((latent, at) => ({ latent, x: plot.across(xs[at]), y: plot.up(ys[at]) }));
    pen.fillStyle = style.getPropertyValue("--accent").trim();
    pen.globalAlpha = alive.length > 4000 ? .35 : alive.length > 800 ? .5 : .75;
    for (const point of points) pen.fillRect(point.x - 1.5, point.y - 1.5, 3, 3);
    pen.globalAlpha = 1;
    const own = points.find(point => point.latent === selected);
    if (own) {
      pen.strokeStyle = `rgb(${style.getPropertyValue("--heat")})`;
      pen.lineWidth = 2.5;
      pen.beginPath();
      pen.arc(own.x, own.y, 6, 0, 7);
      pen.stroke();
    }
    const tip = make("div", "tip");
    tip.hidden = true;
    element.append(canvas, tip);
    const nearest = event => {
      const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      let best = null, distance = 400;
      for (const point of points) { const d = (point.x - x) ** 2 + (point.y - y) ** 2; if (d < distance) { distance = d; best = point; } }
      return best;
    };
    canvas.addEventListener("pointermove", event => {
      const point = nearest(event);
      tip.hidden = !point;
      if (!point) return;
      tip.textContent = `${point.latent}  ${names[point.latent]}`;
      tip.style.left = `${Math.min(point.x + 8, Math.max(0, size.width - tip.offsetWidth))}px`;
      tip.style.top = `${point.y > 40 ? point.y - 32 : point.y + 8}px`;
    });
    canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
    canvas.addEventListener("click", event => { const point = nearest(event); if (point) go(point.latent, true); });
  }

  // ---- one latent
  const list_ = (title, note) => { const head = make("h4", "", title); if (note) head.append(" ", make("small", "faint", note)); return head; };
  function numbersOf(latent) {
    const dl = make("dl", "numbers");
    const facts = [["fires at", columns.active[latent] ? `${percent(frequency[latent])} of positions` : "no position"], ["mean when active", number(columns.mean[latent])], ["max", number(columns.max[latent])], ["decoder norm", number(columns.norm[latent])]];
    if (columns.bias) facts.push(["encoder bias", number(columns.bias[latent])]);
    for (const [name, value] of facts) { const pair = make("div"); pair.append(make("dt", "", name), make("dd", "", value)); dl.append(pair); }
    return dl;
  }
  function histogram(record) {
    const element = make("div", "plot");
    requestAnimationFrame(() => {
      if (!element.isConnected) return;
      const { counts, top: end } = record.histogram, most = Math.max(...counts), tall = most > 20 ? value => Math.log10(1 + value) : value => value, short = most > 20 ? value => 10 ** value - 1 : value => value;
      const marks = most > 20 ? decades(0, tall(most)).map(power => 10 ** power).filter(value => value <= most) : ticks(0, most, 3).filter(Number.isInteger);
      const plot = frame(element, sizeOf(element), { low: 0, high: end, ticks: ticks(0, end, 5), text: number },
        { low: 0, high: tall(most), ticks: marks.map(tall), text: value => number(Math.round(short(value))) },
        { x: "activation", y: "positions", alt: "Histogram of the latent's activations, counts on a log axis" });
      counts.forEach((value, at) => {
        const x = plot.across(at / counts.length * end), next = plot.across((at + 1) / counts.length * end);
        if (value) plot.svg.append(drawn("rect", { x: x + .4, width: Math.max(.5, next - x - .8), y: plot.up(tall(value)), height: plot.up(0) - plot.up(tall(value)), class: "mark" }));
      });
    });
    return element;
  }
  function neighbours(record) {
    const ul = make("ul", "links");
    for (const [latent, cosine] of record.near) {
      const li = make("li"), link = make("a", "", latent);
      link.href = `#latent=${latent}`;
      li.append(link, make("span", "", names[latent] || (state(latent) === "dead" ? "dead" : "")), make("b", "", cosine.toFixed(2)));
      ul.append(li);
    }
    return ul;
  }
  function effects(pairs, kind) {
    const ul = make("ul", "effects"), most = Math.max(...pairs.map(([, value]) => Math.abs(value)), 1e-12);
    for (const [text, value] of pairs) {
      const li = make("li", kind === "down" ? "down" : ""), bar = make("i"), token = make("span", atlas.tokens && kind ? "token" : "", atlas.tokens && kind ? visible(text) : text);
      token.title = JSON.stringify(text);
      bar.style.width = `${100 * Math.abs(value) / most}%`;
      const track = make("span");
      track.append(bar);
      li.append(token, track, make("b", "", (kind && value > 0 ? "+" : "") + number(value)));
      ul.append(li);
    }
    return ul;
  }
  function meta(example) {
    const line = make("div", "meta");
    line.append(make("strong", "", number(example.v)), make("span", "", `sample ${example.s.toLocaleString("en")}`));
    if (example.c !== undefined) line.append(make("span", "", atlas.classes[example.c] ?? `class ${example.c}`));
    return line;
  }
  function texts(examples, strings) {
    const ul = make("ul", "texts");
    for (const example of examples) {
      const li = make("li"), p = make("p");
      example.t.forEach((token, at) => {
        const strength = example.a[at] || 0, span = make("span", "", strings[token].replace(/\n/g, "⏎\n"));
        if (strength) { span.dataset.value = strength; span.style.setProperty("--strength", (.12 + .8 * strength / 100).toFixed(2)); span.title = `${number(strength / 100 * example.m)} · ${JSON.stringify(strings[token])}`; }
        if (at === example.p) span.classList.add("peak");
        if (example.x && example.x.includes(at)) span.classList.add("special");
        p.append(span);
      });
      li.append(meta(example), p);
      ul.append(li);
    }
    return ul;
  }
  function view(tile, box, size) {
    const sheet = atlas.sheets[Math.floor(tile / atlas.perSheet)], at = tile % atlas.perSheet, [w, h] = atlas.tile, [x, y, wide, tall] = box;
    const scale = size / Math.max(wide, tall), element = make("div", `view${w <= 40 ? " sharp" : ""}`), column = at % sheet.columns, line = Math.floor(at / sheet.columns);
    Object.assign(element.style, {
      width: `${wide * scale}px`, height: `${tall * scale}px`, backgroundImage: `url("${sheets[Math.floor(tile / atlas.perSheet)]}")`,
      backgroundSize: `${sheet.columns * w * scale}px ${sheet.rows * h * scale}px`, backgroundPosition: `${-(column * w + x) * scale}px ${-(line * h + y) * scale}px`,
    });
    return element;
  }
  function pictures(examples) {
    const ul = make("ul", "pictures"), [w, h] = atlas.tile, [rows, across] = atlas.grid;
    for (const example of examples) {
      const li = make("li"), views = make("div", "views"), whole = view(example.i, [0, 0, w, h], 84);
      if (rows) {
        const wide = atlas.field[1] * w, tall = atlas.field[0] * h, line = Math.floor(example.p / across), column = example.p % across;
        const x = Math.max(0, Math.min(w - wide, (column + .5) / across * w - wide / 2)), y = Math.max(0, Math.min(h - tall, (line + .5) / rows * h - tall / 2));
        if (wide < .95 * w || tall < .95 * h) {
          const mark = make("u");
          Object.assign(mark.style, { left: `${100 * x / w}%`, top: `${100 * y / h}%`, width: `${100 * wide / w}%`, height: `${100 * tall / h}%` });
          whole.append(mark);
          views.append(view(example.i, [x, y, wide, tall], 84));
        }
      }
      views.append(whole);
      li.append(views, meta(example));
      ul.append(li);
    }
    return ul;
  }
  function vectors(examples) {
    const ul = make("ul", "vectors");
    for (const example of examples) {
      const li = make("li"), box = make("div", "plot"), n = example.n.length, svg = drawn("svg", { viewBox: `0 0 ${n} 200`, preserveAspectRatio: "none", role: "img", "aria-label": "the input's values" });
      svg.append(drawn("line", { x1: 0, x2: n, y1: 100, y2: 100, class: "axis", "vector-effect": "non-scaling-stroke" }));
      example.n.forEach((value, at) => svg.append(drawn("rect", { x: at + .1, width: .8, y: value > 0 ? 100 - value : 100, height: Math.abs(value), class: "mark" })));
      box.append(svg);
      box.title = `values from ${number(-example.e)} to ${number(example.e)}`;
      li.append(box, meta(example));
      ul.append(li);
    }
    return ul;
  }
  const examplesOf = (examples, strings) => atlas.kind === "text" ? texts(examples, strings) : atlas.kind === "image" ? pictures(examples) : vectors(examples);

  async function open(latent, focus) {
    const detail = $("detail"), number_ = Math.floor(latent / atlas.chunk);
    let part;
    try { part = await chunk(number_); } catch (error) { detail.replaceChildren(make("p", "empty", String(error.message || error))); return; }
    if (latent !== selected) return; // another one was asked for meanwhile
    const record = part.latents[latent % atlas.chunk], kind = state(latent), title = make("h3", "", `Latent ${latent}`);
    if (names[latent]) title.append(" ", make("span", "faint", names[latent]));
    if (kind !== "alive") title.append(" ", make("span", "badge", kind));
    const content = [title, numbersOf(latent)];
    if (kind === "dead") content.push(make("p", "empty", "This latent is dead: it is active at no position of this data, so there are no examples of it."));
    const two = make("div", "two"), left = make("div"), right = make("div");
    if (kind !== "dead") left.append(list_("Activations", "when active"), histogram(record));
    right.append(list_("Nearest latents", "cosine of decoder rows"), record.near.length ? neighbours(record) : make("p", "empty", "There is no other latent."));
    two.append(...(kind === "dead" ? [right] : [left, right]));
    content.push(two);
    if (record.classes) content.push(list_("Classes", "mean over a class' samples of the largest activation"), effects(record.classes, ""));
    if (record.up) {
      const both = make("div", "two"), raised = make("div"), lowered = make("div"), things = atlas.tokens ? "Tokens" : "Classes";
      raised.append(list_(`${things} promoted`), effects(record.up, "up"));
      lowered.append(list_(`${things} suppressed`), effects(record.down, "down"));
      both.append(raised, lowered);
      content.push(both, make("p", "faint", atlas.effects));
    } else content.push(list_("Effect on the logits"), make("p", "faint", `Not shown: ${atlas.effects}.`));
    if (record.top.length) content.push(list_("Strongest examples", atlas.kind === "text" || atlas.grid[0] ? "each sample once, at its strongest position" : ""), examplesOf(record.top, part.strings));
    if (record.drawn.length) content.push(list_("Other examples", `${record.drawn.length} drawn at random from all samples in which it is active`), examplesOf(record.drawn, part.strings));
    detail.replaceChildren(...content);
    if (focus && matchMedia("(max-width: 800px)").matches) detail.scrollIntoView();
  }

  function go(latent, focus) {
    selected = latent;
    if (location.hash !== `#latent=${latent}`) history.replaceState(null, "", `#latent=${latent}`);
    reveal(latent);
    render();
    drawScatter();
    open(latent, focus);
  }
  function asked() {
    const match = /^#latent=(\d+)$/.exec(location.hash);
    return match && Number(match[1]) < count ? Number(match[1]) : null;
  }

  // ---- what the reader does
  let typing;
  $("query").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 60); });
  $("show").addEventListener("change", search);
  $("sort").addEventListener("change", search);
  addEventListener("hashchange", () => { const latent = asked(); if (latent !== null && latent !== selected) { go(latent, false); $("detail").scrollIntoView({ block: "nearest" }); } });
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typed = event.target.closest?.("input, select");
    if (event.key === "/" && !typed) { event.preventDefault(); $("query").focus(); $("query").select(); return; }
    if (event.key === "Escape" && event.target === $("query")) { $("query").value = ""; search(); list.focus(); return; }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || (typed && typed !== $("query")) || !found.length) return;
    if (!typed && event.target !== list && !$("latents").contains(event.target)) return;
    event.preventDefault();
    const at = place.has(selected) ? place.get(selected) + step : 0;
    go(found[Math.max(0, Math.min(found.length - 1, at))], false);
  });
  let resizing;
  const redraw = () => { drawFrequencies(); drawTraining(); drawScatter(); };
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => { redraw(); render(); }, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.body.dataset.ready = "yes";

  if (!columns.active.some(Boolean)) $("show").value = "all";
  search();
  drawFrequencies();
  drawTraining();
  const linked = asked(), first = linked ?? found[0]; // going there writes the link
  if (first !== undefined) go(first, false);
  if (linked !== null) $("latents").scrollIntoView({ behavior: "instant" });
})();
