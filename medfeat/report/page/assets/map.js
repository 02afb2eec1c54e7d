"use strict";
// The map: one canvas a space, one selection for all of them. Data comes from #map-data and becomes text, never markup.
(() => {
  const holder = document.getElementById("map-data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const $ = (id) => document.getElementById(id);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const n = data.n;
  const ABSENT = 65535;
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8e6bbf", "#a6761d"];
  const SHAPES = ["circle", "square", "triangle", "diamond"];
  const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

  const spaces = data.spaces.map((space) => ({
    ...space,
    near: space.near ? new Int32Array(bytes(space.near)) : null,
    maps: Object.fromEntries(Object.entries(space.maps).map(([name, map]) => [name, new Uint16Array(bytes(map))])),
  }));
  const columns = data.columns.map((column) => ({
    ...column,
    codes: column.kind === "number" ? new Float32Array(bytes(column.codes)) : new Uint16Array(bytes(column.codes)),
  }));
  const shown = columns.filter((column) => column.hover);

  const state = {
    method: "tsne", dims: 2, colour: 0, tool: matchMedia("(pointer: coarse)").matches ? "move" : "lasso",
    hidden: new Set(), chosen: new Set(), hover: -1, spin: [-0.5, 0.35], found: [],
  };

  // Pictures -------------------------------------------------------------------------------------------------------
  const sheets = (data.thumbs?.sheets ?? []).map((source) => ({ source, image: null, waiting: [] }));
  const ready = (sheet, then) => {
    if (sheet.image?.complete) return then(sheet.image);
    sheet.waiting.push(then);
    if (sheet.image) return undefined;
    sheet.image = new Image();
    sheet.image.onload = () => sheet.waiting.splice(0).forEach((draw) => draw(sheet.image));
    sheet.image.src = sheet.source;
    return undefined;
  };
  const thumbnail = (i, height) => {
    if (!data.thumbs) return null;
    const { width: w, height: h, across, each } = data.thumbs;
    const canvas = document.createElement("canvas");
    canvas.width = w;
    canvas.height = h;
    canvas.className = "pixels";
    canvas.style.height = `${height}px`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `image ${data.ids[i]}`);
    const sheet = sheets[Math.floor(i / each)];
    const at = i % each;
    ready(sheet, (image) => {
      canvas.getContext("2d").drawImage(image, (at % across) * w, Math.floor(at / across) * h, w, h, 0, 0, w, h);
      canvas.dataset.drawn = "1";
    });
    return canvas;
  };

  // Colours --------------------------------------------------------------------------------------------------------
  const column = () => columns[state.colour];
  const word = (one, i) => {
    if (one.kind !== "number") return one.values[one.codes[i]];
    return Number.isFinite(one.codes[i]) ? String(+one.codes[i].toPrecision(6)) : "not known";
  };
  const absent = () => getComputedStyle(document.documentElement).getPropertyValue("--absent").trim();
  const ramp = (t) => {
    const at = Math.min(Math.max(t, 0), 1) * (RAMP.length - 1);
    const low = Math.min(Math.floor(at), RAMP.length - 2);
    return `rgb(${RAMP[low].map((v, k) => Math.round(v + (RAMP[low + 1][k] - v) * (at - low))).join(",")})`;
  };
  const styles = (one) => {
    if (one.kind === "number") {
      const range = one.range[1] - one.range[0] || 1;
      return Array.from({ length: 33 }, (_, k) => ({ colour: k < 32 ? ramp((k + 0.5) / 32) : absent(), shape: "circle" }))
        .map((style) => ({ ...style, low: one.range[0], range }));
    }
    return one.values.map((_, k) => one.missing === k
      ? { colour: absent(), shape: "circle" }
      : { colour: COLOURS[k % COLOURS.length], shape: SHAPES[Math.floor(k / COLOURS.length) % SHAPES.length] });
  };
  let style = styles(column());
  const styleOf = (i) => {
    const one = column();
    if (one.kind !== "number") return one.codes[i];
    const value = one.codes[i];
    if (!Number.isFinite(value)) return 32;
    return Math.min(31, Math.max(0, Math.floor(((value - style[0].low) / style[0].range) * 32)));
  };
  const visible = (i) => column().kind === "number" || !state.hidden.has(column().codes[i]);

  const mark = (context, shape, x, y, r) => {
    if (shape === "square") return context.rect(x - r, y - r, 2 * r, 2 * r);
    if (shape === "triangle") {
      context.moveTo(x, y - 1.3 * r);
      context.lineTo(x + 1.2 * r, y + r);
      context.lineTo(x - 1.2 * r, y + r);
      return context.closePath();
    }
    if (shape === "diamond") {
      context.moveTo(x, y - 1.4 * r);
      context.lineTo(x + 1.4 * r, y);
      context.lineTo(x, y + 1.4 * r);
      context.lineTo(x - 1.4 * r, y);
      return context.closePath();
    }
    context.moveTo(x + r, y);
    return context.arc(x, y, r, 0, 6.2832);
  };

  // Panels ---------------------------------------------------------------------------------------------------------
  const panels = spaces.map((space, number) => {
    const box = document.createElement("div");
    box.className = "panel";
    const title = document.createElement("h3");
    title.textContent = space.name;
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    const note = document.createElement("p");
    note.className = "note";
    box.append(title, canvas, note);
    $("panels").append(box);
    const panel = {
      number, space, box, canvas, note, context: canvas.getContext("2d"), zoom: 1, pan: [0, 0], lasso: null,
      xs: new Float32Array(n), ys: new Float32Array(n), zs: new Float32Array(n), there: new Uint8Array(n), stale: true,
    };
    listen(panel);
    return panel;
  });
  const mapName = () => (state.method === "pca" ? "pca" : `tsne${state.dims}`);

  // How far a map reaches from its middle: to the right, up, and in any direction.
  const reaches = new Map();
  const reach = (space, map, depth) => {
    const key = `${spaces.indexOf(space)} ${mapName()}`;
    if (!reaches.has(key)) {
      const far = [1e-6, 1e-6, 1e-6];
      for (let at = 0; map && at < map.length; at += depth) {
        if (map[at] === ABSENT) continue;
        const [x, y, z] = [0, 1, 2].map((k) => (k < depth ? map[at + k] / 65000 - 0.5 : 0));
        [Math.abs(x), Math.abs(y), Math.hypot(x, y, z)].forEach((v, k) => { far[k] = Math.max(far[k], v); });
      }
      reaches.set(key, far);
    }
    return reaches.get(key);
  };
  function place(panel) {
    const map = panel.space.maps[mapName()];
    const { canvas } = panel;
    const wide = canvas.clientWidth, tall = canvas.clientHeight;
    const depth = mapName() === "tsne2" ? 2 : 3;
    const [right, up, radius] = reach(panel.space, map, depth);
    const fit = state.dims === 3 ? Math.min(wide, tall) / radius : Math.min(wide / right, tall / up);
    const scale = fit * 0.47 * panel.zoom;
    const [a, b] = state.spin;
    const ca = Math.cos(a), sa = Math.sin(a), cb = Math.cos(b), sb = Math.sin(b);
    for (let i = 0; i < n; i++) {
      const at = i * depth;
      panel.there[i] = map && map[at] !== ABSENT ? 1 : 0;
      if (!panel.there[i]) continue;
      let x = map[at] / 65000 - 0.5, y = map[at + 1] / 65000 - 0.5, z = 0;
      if (state.dims === 3) {
        const d = map[at + 2] / 65000 - 0.5;
        const turned = x * ca + d * sa;
        z = d * ca - x * sa;
        x = turned;
        const lifted = y * cb - z * sb;
        z = y * sb + z * cb;
        y = lifted;
      }
      panel.xs[i] = wide / 2 + panel.pan[0] + x * scale;
      panel.ys[i] = tall / 2 + panel.pan[1] - y * scale;
      panel.zs[i] = z;
    }
    panel.stale = false;
  }

  function draw(panel) {
    const { canvas, context, xs, ys, zs, there } = panel;
    const ratio = devicePixelRatio || 1;
    const wide = canvas.clientWidth, tall = canvas.clientHeight;
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(tall * ratio)) {
      canvas.width = Math.round(wide * ratio);
      canvas.height = Math.round(tall * ratio);
      panel.stale = true;
    }
    if (panel.stale) place(panel);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, tall);
    const some = state.chosen.size > 0;
    const radius = (n > 6000 ? 1.6 : n > 1500 ? 2.3 : 3.2) * Math.min(2, Math.sqrt(panel.zoom));
    // Marks of one look are one path; in three dimensions, far ones first in four layers.
    const layers = state.dims === 3 ? 4 : 1;
    const buckets = Array.from({ length: layers * style.length * 2 }, () => []);
    for (let i = 0; i < n; i++) {
      if (!there[i] || !visible(i)) continue;
      const layer = layers === 1 ? 0 : Math.min(3, Math.max(0, Math.floor((zs[i] + 0.6) / 0.3)));
      const strong = !some || state.chosen.has(i) ? 1 : 0;
      buckets[(strong * layers + layer) * style.length + styleOf(i)].push(i);
    }
    let count = 0;
    buckets.forEach((members, bucket) => {
      if (!members.length) return;
      const strong = bucket >= layers * style.length;
      const layer = Math.floor(bucket / style.length) % layers;
      const look = style[bucket % style.length];
      context.globalAlpha = strong ? (layers === 1 ? 0.85 : 0.55 + 0.13 * layer) : 0.13;
      context.fillStyle = look.colour;
      context.beginPath();
      const r = radius * (layers === 1 ? 1 : 0.8 + 0.15 * layer);
      members.forEach((i) => mark(context, look.shape, xs[i], ys[i], r));
      context.fill();
      count += members.length;
    });
    context.globalAlpha = 1;
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
    context.strokeStyle = ink;
    [...state.found.slice(0, 200), state.hover].forEach((i) => {
      if (i < 0 || !there[i]) return;
      context.lineWidth = i === state.hover ? 2 : 1.2;
      context.beginPath();
      context.arc(xs[i], ys[i], radius + 4, 0, 6.2832);
      context.stroke();
    });
    if (panel.lasso?.length > 1) {
      context.lineWidth = 1.5;
      context.setLineDash([5, 3]);
      context.beginPath();
      panel.lasso.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
      context.setLineDash([]);
    }
    panel.box.dataset.tool = state.tool;
    canvas.dataset.shown = String(count);
    const share = panel.space.share;
    const notes = [`${count.toLocaleString("en")} of ${data.total.toLocaleString("en")} images`];
    if (state.method === "pca" && share) notes.push(`components hold ${share.slice(0, state.dims).map((v) => `${Math.round(100 * v)} %`).join(", ")} of the variance`);
    if (panel.space.notes?.[mapName()]) notes.push(panel.space.notes[mapName()]);
    panel.note.textContent = `${notes.join("; ")}.`;
    canvas.setAttribute("aria-label", `Map of ${panel.space.name}: ${panel.note.textContent} Arrow keys ${state.dims === 3 ? "turn" : "move"}, plus and minus zoom, Escape clears the selection.`);
  }

  let asked = false;
  const redraw = (stale = false) => {
    if (stale) panels.forEach((panel) => { panel.stale = true; });
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      panels.forEach(draw);
    });
  };

  // Pointing -------------------------------------------------------------------------------------------------------
  const nearest = (panel, x, y) => {
    let best = -1, far = 14 * 14;
    for (let i = 0; i < n; i++) {
      if (!panel.there[i] || !visible(i)) continue;
      const d = (panel.xs[i] - x) ** 2 + (panel.ys[i] - y) ** 2;
      if (d < far || (d === far && panel.zs[i] > panel.zs[best])) { best = i; far = d; }
    }
    return best;
  };
  const inside = (lasso, x, y) => {
    let within = false;
    for (let i = 0, j = lasso.length - 1; i < lasso.length; j = i++) {
      const [xi, yi] = lasso[i], [xj, yj] = lasso[j];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
    }
    return within;
  };

  function listen(panel) {
    const { canvas } = panel;
    let start = null;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      start = { at: at(event), pan: [...panel.pan], spin: [...state.spin], moved: false };
      if (state.tool === "lasso") panel.lasso = [start.at];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (!start) return tip(panel, nearest(panel, x, y), event);
      const dx = x - start.at[0], dy = y - start.at[1];
      start.moved ||= Math.hypot(dx, dy) > 4;
      if (state.tool === "lasso") {
        panel.lasso.push([x, y]);
        return redraw();
      }
      if (state.dims === 3) state.spin = [start.spin[0] + dx / 120, start.spin[1] + dy / 120];
      else panel.pan = [start.pan[0] + dx, start.pan[1] + dy];
      if (state.dims === 3) return redraw(true);
      panel.stale = true;
      return redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!start) return;
      const lasso = panel.lasso;
      panel.lasso = null;
      if (!start.moved) {
        const i = nearest(panel, ...start.at);
        if (i >= 0) choose(event.shiftKey || event.ctrlKey || event.metaKey ? toggled(i) : [i]);
        else if (!event.shiftKey) choose([]);
      } else if (lasso) {
        const found = [];
        for (let i = 0; i < n; i++) {
          if (panel.there[i] && visible(i) && inside(lasso, panel.xs[i], panel.ys[i])) found.push(i);
        }
        choose(event.shiftKey ? [...state.chosen, ...found] : found);
      }
      start = null;
      redraw();
    });
    canvas.addEventListener("pointercancel", () => { start = null; panel.lasso = null; redraw(); });
    canvas.addEventListener("pointerleave", () => { if (!start) tip(panel, -1); });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && state.tool !== "move") return;
      event.preventDefault();
      zoom(panel, Math.exp(-event.deltaY / 300), at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (step && state.dims === 3) state.spin = [state.spin[0] + step[0] / 8, state.spin[1] + step[1] / 8];
      else if (step) panel.pan = [panel.pan[0] - 30 * step[0], panel.pan[1] - 30 * step[1]];
      else if (event.key === "+" || event.key === "=") zoom(panel, 1.25);
      else if (event.key === "-") zoom(panel, 0.8);
      else if (event.key === "Escape") choose([]);
      else return;
      event.preventDefault();
      redraw(true);
    });
  }
  const zoom = (panel, by, around) => {
    const wide = panel.canvas.clientWidth, tall = panel.canvas.clientHeight;
    const [x, y] = around ?? [wide / 2, tall / 2];
    const next = Math.min(40, Math.max(0.5, panel.zoom * by));
    const real = next / panel.zoom;
    panel.pan = [x - wide / 2 - (x - wide / 2 - panel.pan[0]) * real, y - tall / 2 - (y - tall / 2 - panel.pan[1]) * real];
    panel.zoom = next;
    panel.stale = true;
    redraw();
  };
  const toggled = (i) => {
    const next = new Set(state.chosen);
    if (!next.delete(i)) next.add(i);
    return [...next];
  };

  const line = (name, value) => {
    const div = document.createElement("div");
    div.textContent = name ? `${name}: ${value}` : value;
    return div;
  };
  const known = (i) => shown.map((one) => [one.name, word(one, i)]).filter(([, said]) => said !== "not known");
  const describe = (i) => [line("", data.ids[i]), ...known(i).map(([name, said]) => line(name, said))];
  function tip(panel, i, event) {
    const box = $("tip");
    if (i !== state.hover) {
      state.hover = i;
      box.hidden = i < 0;
      if (i >= 0) {
        const picture = thumbnail(i, 112);
        box.replaceChildren(...(picture ? [picture] : []), ...describe(i));
      }
      redraw();
    }
    if (i < 0 || !event) return;
    const wide = box.offsetWidth, tall = box.offsetHeight;
    box.style.left = `${Math.max(4, event.clientX + 16 + wide > innerWidth ? event.clientX - wide - 12 : event.clientX + 16)}px`;
    box.style.top = `${Math.max(4, Math.min(innerHeight - tall - 4, event.clientY + 14))}px`;
  }

  // What is selected -----------------------------------------------------------------------------------------------
  const MOST = 120;
  function choose(rows) {
    state.chosen = new Set(rows);
    const list = [...state.chosen];
    $("chosen-count").textContent = list.length
      ? `${list.length.toLocaleString("en")} selected${list.length > MOST ? `, the first ${MOST} shown` : ""}`
      : "Nothing selected: draw around points, click one, or search.";
    $("chosen-list").replaceChildren(...list.slice(0, MOST).map((i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.row = String(i);
      const picture = thumbnail(i, 56);
      const name = document.createElement("span");
      name.textContent = data.ids[i];
      button.append(...(picture ? [picture] : []), name);
      button.addEventListener("click", () => detail(i));
      button.addEventListener("pointerenter", () => { state.hover = i; redraw(); });
      button.addEventListener("pointerleave", () => { state.hover = -1; redraw(); });
      return button;
    }));
    $("csv").hidden = true;
    $("copy").disabled = $("clear").disabled = !list.length;
    if (list.length === 1) detail(list[0]);
    else $("detail").replaceChildren();
    redraw();
  }
  function detail(i) {
    const head = document.createElement("h3");
    head.textContent = `Nearest to ${data.ids[i]}`;
    const facts = document.createElement("p");
    facts.className = "soft";
    facts.textContent = known(i).map(([name, said]) => `${name}: ${said}`).join(" · ");
    const rows = spaces.filter((space) => space.near).flatMap((space) => {
      const name = document.createElement("div");
      name.className = "soft";
      name.textContent = `by ${space.name}`;
      const row = document.createElement("div");
      row.className = "row";
      const each = space.near.length / n;
      const shownRows = [i, ...space.near.slice(i * each, (i + 1) * each)];
      row.append(...shownRows.map((j) => {
        const figure = document.createElement("figure");
        const picture = thumbnail(j, 56);
        const label = shown.length ? ` · ${word(shown[0], j)}` : "";
        figure.append(...(picture ? [picture] : []), line("", `${data.ids[j]}${label}`));
        return figure;
      }));
      return [name, row];
    });
    $("detail").replaceChildren(head, facts, ...rows);
  }
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const csv = () => [
    ["id", ...shown.map((one) => one.name)].map(quoted).join(","),
    ...[...state.chosen].map((i) => [data.ids[i], ...shown.map((one) => word(one, i))].map(quoted).join(",")),
  ].join("\n");

  // Controls -------------------------------------------------------------------------------------------------------
  const pressed = (group, value) => document.querySelectorAll(`[data-${group}]`).forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset[group] === String(value)));
  });
  document.querySelectorAll("[data-method],[data-dims],[data-tool-name]").forEach((button) => {
    button.addEventListener("click", () => {
      if (button.dataset.method) state.method = button.dataset.method;
      if (button.dataset.dims) state.dims = Number(button.dataset.dims);
      if (button.dataset.toolName) state.tool = button.dataset.toolName;
      refresh();
    });
  });
  function refresh() {
    pressed("method", state.method);
    pressed("dims", state.dims);
    document.querySelectorAll("[data-tool-name]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.toolName === state.tool));
    });
    document.querySelectorAll(".panel canvas").forEach((canvas) => {
      canvas.style.touchAction = state.tool === "lasso" || state.dims === 3 ? "none" : "pan-y";
    });
    redraw(true);
  }
  $("home").addEventListener("click", () => {
    panels.forEach((panel) => { panel.zoom = 1; panel.pan = [0, 0]; });
    state.spin = [-0.5, 0.35];
    redraw(true);
  });
  columns.forEach((one, k) => {
    const option = document.createElement("option");
    option.value = String(k);
    option.textContent = one.name;
    $("colour").append(option);
  });
  $("colour").addEventListener("change", () => {
    state.colour = Number($("colour").value);
    state.hidden.clear();
    legend();
    redraw();
  });
  function swatch(look) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 28;
    canvas.style.width = canvas.style.height = "14px";
    const context = canvas.getContext("2d");
    context.fillStyle = look.colour;
    context.beginPath();
    mark(context, look.shape, 14, 14, 8);
    context.fill();
    canvas.setAttribute("aria-hidden", "true");
    return canvas;
  }
  function legend() {
    const one = column();
    style = styles(one);
    if (one.kind === "number") {
      const scale = document.createElement("span");
      scale.className = "soft";
      scale.textContent = `from ${+one.range[0].toPrecision(5)} (dark) to ${+one.range[1].toPrecision(5)} (light); not known: grey`;
      $("legend").replaceChildren(scale);
      return;
    }
    const counts = new Uint32Array(one.values.length);
    one.codes.forEach((code) => { counts[code] += 1; });
    const buttons = one.values.map((name, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!state.hidden.has(k)));
      button.append(swatch(style[k]), `${name} (${counts[k].toLocaleString("en")})`);
      button.addEventListener("click", () => {
        if (!state.hidden.delete(k)) state.hidden.add(k);
        button.setAttribute("aria-pressed", String(!state.hidden.has(k)));
        redraw();
      });
      return button;
    });
    const all = (name, hide) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => {
        state.hidden = new Set(hide ? one.values.keys() : []);
        legend();
        redraw();
      });
      return button;
    };
    $("legend").replaceChildren(...buttons, ...(buttons.length > 2 ? [all("all"), all("none", true)] : []));
  }
  const lower = data.ids.map((id) => id.toLowerCase());
  $("search").addEventListener("input", () => {
    const wanted = $("search").value.trim().toLowerCase();
    state.found = wanted ? [...lower.keys()].filter((i) => lower[i].includes(wanted)) : [];
    $("found").textContent = wanted ? `${state.found.length.toLocaleString("en")} found; Enter selects them` : "";
    redraw();
  });
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") choose(state.found);
  });
  $("clear").addEventListener("click", () => choose([]));
  $("copy").addEventListener("click", async () => {
    const text = csv();
    const box = $("csv");
    box.value = text;
    box.hidden = false;
    box.select();
    let copied = false;
    try {
      await navigator.clipboard.writeText(text);
      copied = true;
    } catch {
      copied = document.execCommand("copy");
    }
    $("copied").textContent = copied ? "Copied." : "Copy it from the box.";
  });
  document.addEventListener("themechange", () => { legend(); redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { legend(); redraw(); });
  new ResizeObserver(() => redraw(true)).observe($("panels"));
  legend();
  refresh();
  choose([]);
  // Where a row is drawn, for whoever looks from the console or a test.
  window.medfeatMap = {
    where: (panel, i) => [panels[panel].xs[i], panels[panel].ys[i]],
    chosen: () => [...state.chosen], hover: () => state.hover, rows: n,
  };
})();
