// A map of cells on a canvas, and the chosen cell in 3D. Data come from the page itself (a report)
// or from the server (the live page); see report/structure_map.py for what they are.
"use strict";
(() => {
  const root = document.getElementById("explorer");
  if (!root) return;
  const canvas = root.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const NOT_CHOSEN = "not chosen"; // as report/refused.py writes it: they lie behind the others
  const state = { hidden: new Set(), selected: -1, hovered: -1, scale: null, zoom: 1, dx: 0, dy: 0 };
  let map = { keys: [], numbers: {}, names: {} };
  let shown = [];
  let viewer = null;

  function embedded(id) {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  }

  async function fetched(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    return answer.json();
  }

  async function load() {
    part("message").textContent = "reading the cells …";
    try {
      map = embedded("map-data") || (await fetched(root.dataset.map));
    } catch (error) {
      part("message").textContent = `no map: ${error.message}`;
      return;
    }
    const numbers = Object.keys(map.numbers);
    fill(part("x"), map.numbers, numbers.includes("pc1") ? "pc1" : "pressure");
    fill(part("y"), map.numbers, numbers.includes("pc2") ? "pc2" : "energy");
    fill(part("colour"), { ...map.names, ...map.numbers }, "status");
    const filters = { none: { title: "nothing" } };
    for (const [name, column] of Object.entries(map.names)) {
      if (new Set(column.values).size > 1) filters[name] = column;
    }
    fill(part("filter"), filters, "none");
    fillValues();
    redraw();
    if (state.selected < 0 && shown.length) select(mostInforming());
  }

  // The cell to begin with: the one that gained most of those that were chosen.
  function mostInforming() {
    const gains = (map.numbers.gain || { values: [] }).values;
    let best = shown[0].i;
    const status = map.names.status.values;
    const gain = (i) => (status[i] === NOT_CHOSEN ? -Infinity : (gains[i] ?? -1e300));
    for (const { i } of shown) if (gain(i) > gain(best)) best = i;
    return best;
  }

  function fill(select, columns, preferred) {
    const before = select.value || preferred;
    select.replaceChildren();
    for (const [name, column] of Object.entries(columns)) {
      select.add(new Option(column.title, name, false, name === before));
    }
  }

  function fillValues() {
    const name = part("filter").value;
    const values = name === "none" ? [] : [...new Set(map.names[name].values)].sort();
    fill(part("value"), Object.fromEntries(values.map((value) => [value, { title: value }])), "");
    part("value").disabled = values.length === 0;
    showQuery();
  }

  function sayNoQuery() {
    part("query").textContent = "not in the ledger: read from the outputs of its explore jobs";
  }

  // The same cells in the database, for those who go on there.
  function showQuery() {
    const query = { campaign: root.dataset.campaign };
    const value = part("value").value;
    const name = part("filter").value;
    let collection = "structures";
    if (name === "phase") query["origin.phase"] = value;
    else if (name === "iteration") query.iteration = Number(value);
    else if (name === "status") {
      collection = "labels";
      if (value === "label failed") query.converged = false;
      else if (value === "flagged") query.flagged = true;
      else if (value === "excluded") collection = "exclusions";
      else if (value === "not labelled yet") collection = "structures";
      else if (value === NOT_CHOSEN) return sayNoQuery();
      else query.split = value;
    } else if (name !== "none") query[name] = value;
    part("query").textContent = `db.${collection}.find(${JSON.stringify(query)})`;
  }

  function visible(index) {
    const filter = part("filter").value;
    if (filter !== "none" && map.names[filter].values[index] !== part("value").value) return false;
    const colour = part("colour").value;
    return !(colour in map.names) || !state.hidden.has(map.names[colour].values[index]);
  }

  function redraw() {
    const x = map.numbers[part("x").value];
    const y = map.numbers[part("y").value];
    shown = [];
    if (x && y) {
      for (let i = 0; i < map.keys.length; i++) {
        if (x.values[i] !== null && y.values[i] !== null && visible(i)) {
          shown.push({ i, x: x.values[i], y: y.values[i] });
        }
      }
    }
    const status = map.names.status ? map.names.status.values : [];
    const rank = (point) => Number(status[point.i] !== NOT_CHOSEN);
    shown.sort((one, other) => rank(one) - rank(other));
    part("message").textContent = `${shown.length} of ${map.keys.length} cells`;
    drawLegend();
    draw();
  }

  function bounds(values) {
    let low = Infinity;
    let high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (!(low < high)) return [low - 1, low + 1];
    const margin = 0.04 * (high - low);
    return [low - margin, high + margin];
  }

  function colours() {
    const name = part("colour").value;
    if (name in map.names) {
      const values = [...new Set(map.names[name].values)].sort();
      const series = values.filter((value) => value !== NOT_CHOSEN);
      const index = new Map(series.map((value, n) => [value, css(`--series-${(n % 10) + 1}`)]));
      index.set(NOT_CHOSEN, css("--faint"));
      return { values, of: (i) => index.get(map.names[name].values[i]), index };
    }
    const values = map.numbers[name].values;
    const [low, high] = bounds(values.filter((value) => value !== null));
    const of = (i) => {
      if (values[i] === null) return css("--line");
      const share = (values[i] - low) / (high - low);
      return `hsl(${260 - 215 * share} 70% ${32 + 33 * share}%)`;
    };
    return { values: [], of, low, high };
  }

  function drawLegend() {
    const legend = part("legend");
    legend.replaceChildren();
    const { values, index, low, high } = colours();
    const name = part("colour").value;
    if (!values.length) {
      const item = document.createElement("li");
      item.textContent = `dark ${format(low)} to light ${format(high)}`;
      legend.append(item);
      return;
    }
    for (const value of values) {
      const button = document.createElement("button");
      const dot = document.createElement("i");
      dot.style.background = index.get(value);
      const count = map.names[name].values.filter((other) => other === value).length;
      button.append(dot, `${value} (${count})`);
      button.setAttribute("aria-pressed", String(!state.hidden.has(value)));
      button.addEventListener("click", () => {
        if (!state.hidden.delete(value)) state.hidden.add(value);
        redraw();
      });
      const item = document.createElement("li");
      item.append(button);
      legend.append(item);
    }
  }

  const PAD = { left: 62, right: 12, top: 10, bottom: 44 };

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!shown.length) return;
    const [x0, x1] = zoomed(bounds(shown.map((p) => p.x)), state.dx);
    const [y0, y1] = zoomed(bounds(shown.map((p) => p.y)), state.dy);
    const px = (x) => PAD.left + ((x - x0) / (x1 - x0)) * (width - PAD.left - PAD.right);
    const py = (y) => height - PAD.bottom - ((y - y0) / (y1 - y0)) * (height - PAD.top - PAD.bottom);
    state.scale = { px, py, x0, x1, y0, y1, width, height };
    drawAxes();
    const { of } = colours();
    pen.save();
    pen.beginPath();
    pen.rect(PAD.left, PAD.top, width - PAD.left - PAD.right, height - PAD.top - PAD.bottom);
    pen.clip();
    const radius = shown.length > 2000 ? 2.2 : 4;
    pen.globalAlpha = shown.length > 2000 ? 0.6 : 0.8;
    for (const point of shown) {
      pen.fillStyle = of(point.i);
      pen.beginPath();
      pen.arc(px(point.x), py(point.y), radius, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    for (const [index, size] of [[state.hovered, 6], [state.selected, 8]]) {
      const point = shown.find((p) => p.i === index);
      if (!point) continue;
      pen.strokeStyle = css("--ink");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(px(point.x), py(point.y), size, 0, 7);
      pen.stroke();
    }
    pen.restore();
  }

  function zoomed([low, high], shift) {
    const middle = (low + high) / 2 + shift * (high - low);
    const half = (high - low) / 2 / state.zoom;
    return [middle - half, middle + half];
  }

  function ticks(low, high) {
    const raw = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
    const values = [];
    for (let n = Math.ceil(low / step); n * step <= high; n++) values.push(n * step);
    return values;
  }

  function format(value) {
    return value === undefined ? "–" : String(Number(value.toPrecision(4)));
  }

  function drawAxes() {
    const { px, py, x0, x1, y0, y1, width, height } = state.scale;
    pen.strokeStyle = css("--line");
    pen.fillStyle = css("--soft");
    pen.font = "12px system-ui, sans-serif";
    pen.lineWidth = 1;
    pen.textAlign = "center";
    for (const value of ticks(x0, x1)) {
      line(px(value), PAD.top, px(value), height - PAD.bottom);
      pen.fillText(format(value), px(value), height - PAD.bottom + 16);
    }
    pen.textAlign = "right";
    for (const value of ticks(y0, y1)) {
      line(PAD.left, py(value), width - PAD.right, py(value));
      pen.fillText(format(value), PAD.left - 6, py(value) + 4);
    }
    pen.textAlign = "center";
    pen.fillStyle = css("--ink");
    pen.fillText(map.numbers[part("x").value].title, (PAD.left + width) / 2, height - 8);
    pen.save();
    pen.translate(13, (height - PAD.bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(map.numbers[part("y").value].title, 0, 0);
    pen.restore();
  }

  function line(xa, ya, xb, yb) {
    pen.beginPath();
    pen.moveTo(xa, ya);
    pen.lineTo(xb, yb);
    pen.stroke();
  }

  function nearest(event) {
    if (!state.scale) return -1;
    const box = canvas.getBoundingClientRect();
    let best = -1;
    let least = 15 ** 2;
    for (const point of shown) {
      const across = state.scale.px(point.x) - (event.clientX - box.left);
      const down = state.scale.py(point.y) - (event.clientY - box.top);
      if (across ** 2 + down ** 2 < least) {
        least = across ** 2 + down ** 2;
        best = point.i;
      }
    }
    return best;
  }

  // The cell under the pointer, in words beside it.
  function showTip() {
    const tip = part("tip");
    const index = state.hovered;
    const point = shown.find((p) => p.i === index);
    tip.hidden = !point;
    if (!point) return;
    const named = ["status", "phase"].map((name) => map.names[name].values[index]);
    const numbers = [...new Set(["temperature", "k", part("x").value, part("y").value, part("colour").value])];
    const valued = numbers.filter((name) => name in map.numbers && map.numbers[name].values[index] !== null);
    const lines = valued.map((name) => `${map.numbers[name].title}: ${format(map.numbers[name].values[index])}`);
    tip.textContent = [map.keys[index], named.join(", "), ...lines].join("\n");
    const { px, py, width } = state.scale;
    const toTheLeft = px(point.x) > width / 2;
    tip.style.left = toTheLeft ? "" : `${px(point.x) + 12}px`;
    tip.style.right = toTheLeft ? `${width - px(point.x) + 12}px` : "";
    tip.style.top = `${py(point.y) + 12}px`;
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, dx: state.dx, dy: state.dy, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const across = event.clientX - drag.x;
      const down = event.clientY - drag.y;
      drag.moved ||= Math.hypot(across, down) > 4;
      if (drag.moved) {
        state.dx = drag.dx - across / canvas.clientWidth / state.zoom;
        state.dy = drag.dy + down / canvas.clientHeight / state.zoom;
        draw();
      }
      return;
    }
    const index = nearest(event);
    if (index === state.hovered) return;
    state.hovered = index;
    showTip();
    draw();
  });
  canvas.addEventListener("pointerleave", () => {
    state.hovered = -1;
    showTip();
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const moved = drag && drag.moved;
    drag = null;
    if (moved) return;
    const index = nearest(event);
    if (index >= 0) select(index);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    state.zoom = Math.max(1, state.zoom * (event.deltaY < 0 ? 1.15 : 1 / 1.15));
    if (state.zoom === 1) state.dx = state.dy = 0;
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !shown.length) return;
    event.preventDefault();
    const order = [...shown].sort((a, b) => a.x - b.x);
    const before = order.findIndex((point) => point.i === state.selected);
    select(order[(before + step + order.length) % order.length].i);
  });

  async function select(index) {
    state.selected = index;
    draw();
    const key = map.keys[index];
    part("key").textContent = key;
    part("properties").replaceChildren(...properties(index));
    part("chosen").hidden = false;
    try {
      const cells = embedded("cells-data");
      const cell = cells ? cells[key] : await fetched(root.dataset.cells + encodeURIComponent(key));
      if (state.selected !== index) return;
      showStory(cell);
      if (cell && cell.symbols) show3d(cell);
      else part("cell3d").textContent = "This cell is not part of the page.";
    } catch (error) {
      part("story").textContent = error.message;
    }
  }

  function properties(index) {
    const rows = [];
    for (const columns of [map.names, map.numbers]) {
      for (const column of Object.values(columns)) {
        const value = column.values[index];
        if (value === null) continue;
        const name = document.createElement("dt");
        const text = document.createElement("dd");
        name.textContent = column.title;
        text.textContent = typeof value === "number" ? format(value) : value;
        rows.push(name, text);
      }
    }
    return rows;
  }

  function showStory(cell) {
    const list = part("story");
    list.replaceChildren();
    for (const sentence of (cell && cell.story) || []) {
      const item = document.createElement("li");
      item.textContent = sentence;
      list.append(item);
    }
    part("neighbours").replaceChildren();
    for (const key of (cell && cell.neighbours) || []) {
      const button = document.createElement("button");
      button.textContent = key;
      button.addEventListener("click", () => select(map.keys.indexOf(key)));
      part("neighbours").append(button, " ");
    }
    const download = part("download");
    download.hidden = !(cell && cell.extxyz);
    if (cell && cell.extxyz) {
      download.href = URL.createObjectURL(new Blob([cell.extxyz], { type: "text/plain" }));
      download.download = `${map.keys[state.selected].replaceAll("/", "-")}.extxyz`;
    }
  }

  const vector = ([x, y, z]) => ({ x, y, z });
  const sum = (...vectors) => [0, 1, 2].map((n) => vectors.reduce((total, v) => total + v[n], 0));

  function show3d(cell) {
    const box = part("cell3d");
    const dmol = window.$3Dmol;
    if (!dmol) {
      box.textContent = "The 3D viewer is not there.";
      return;
    }
    dmol.notrack = true;
    try {
      viewer ||= dmol.createViewer(box, { backgroundAlpha: 0 });
    } catch (error) {
      box.textContent = "This browser draws no 3D (WebGL is off).";
      return;
    }
    viewer.removeAllModels();
    viewer.removeAllShapes();
    const model = viewer.addModel();
    model.addAtoms(cell.symbols.map((elem, n) => ({ elem, ...vector(cell.positions[n]), serial: n })));
    model.setStyle({}, { sphere: { scale: 0.36, colorscheme: "Jmol" } });
    const [a, b, c] = cell.cell;
    const zero = [0, 0, 0];
    const edge = (from, along) =>
      viewer.addLine({ start: vector(from), end: vector(sum(from, along)), color: css("--soft") });
    for (const from of [zero, b, c, sum(b, c)]) edge(from, a);
    for (const from of [zero, a, c, sum(a, c)]) edge(from, b);
    for (const from of [zero, a, b, sum(a, b)]) edge(from, c);
    if (cell.forces && part("arrows").checked) {
      const largest = Math.max(...cell.forces.map((force) => Math.hypot(...force)), 1e-9);
      cell.forces.forEach((force, n) => {
        const along = force.map((component) => (2 * component) / largest);
        if (Math.hypot(...along) < 0.15) return;
        viewer.addArrow({
          start: vector(cell.positions[n]),
          end: vector(sum(cell.positions[n], along)),
          radius: 0.08,
          color: css("--series-4"),
        });
      });
    }
    viewer.zoomTo();
    viewer.zoom(1.25);
    viewer.render();
    state.drawn = cell;
  }

  part("arrows").addEventListener("change", () => state.drawn && show3d(state.drawn));
  part("copy").addEventListener("click", () => navigator.clipboard.writeText(part("key").textContent));
  for (const name of ["x", "y"]) {
    part(name).addEventListener("change", () => {
      state.zoom = 1;
      state.dx = state.dy = 0;
      redraw();
    });
  }
  part("colour").addEventListener("change", () => {
    state.hidden.clear();
    redraw();
  });
  part("filter").addEventListener("change", () => {
    fillValues();
    redraw();
  });
  part("value").addEventListener("change", () => {
    showQuery();
    redraw();
  });
  part("reset").addEventListener("click", () => {
    state.zoom = 1;
    state.dx = state.dy = 0;
    draw();
  });
  document.addEventListener("cells-changed", load);
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  load();
})();
