/* Behaviour of the console in the browser: clock and ages, the county page's list, map and filters. No dependencies. */
"use strict";
window.QQ = (() => {
  const QQ = {};
  let settings = { now: Date.now(), speed: 1, tz: "Asia/Shanghai", words: {}, states: {}, glyphs: {} };
  let started = performance.now();

  QQ.start = (given) => {
    settings = given;
    started = performance.now();
    document.documentElement.lang = given.lang;
    const tick = () => { QQ.ages(document); QQ.clock(); };
    const begin = () => { tick(); setInterval(tick, 1000); };
    document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", begin) : begin();
  };

  QQ.now = () => settings.now + (performance.now() - started) * settings.speed;
  // An element of the framework, null until it has put the page together.
  const mounted = (id) => {
    try { return getElement(id); } catch { return null; }
  };
  const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const word = (key, values) => (settings.words[key] || "").replace(/\{(\w+)\}/g, (_, name) => values[name]);

  QQ.clock = () => {
    const place = document.getElementById("clock");
    if (!place) return;
    const parts = {};
    const form = { timeZone: settings.tz, hourCycle: "h23", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };
    for (const part of new Intl.DateTimeFormat("en-GB", form).formatToParts(QQ.now())) parts[part.type] = part.value;
    place.textContent = `${parts.month}-${parts.day} ${parts.hour}:${parts.minute}:${parts.second}`;
  };

  QQ.ago = (at) => {
    const s = Math.max(0, Math.floor((QQ.now() - at) / 1000));
    if (s < 5) return word("time.ago_now", {});
    if (s < 60) return word("time.ago_s", { n: s });
    if (s < 3600) return word("time.ago_min", { n: Math.floor(s / 60) });
    if (s < 86400) return word("time.ago_h", { n: Math.floor(s / 3600) });
    return word("time.ago_d", { n: Math.floor(s / 86400) });
  };

  QQ.lasting = (from, until) => {
    const s = Math.max(0, Math.floor(((until || QQ.now()) - from) / 1000));
    const m = Math.floor(s / 60), h = Math.floor(s / 3600), d = Math.floor(h / 24);
    if (s < 60) return word("time.for_s", { n: s });
    if (m < 60) return word("time.for_min", { n: m });
    if (h < 24) return m % 60 ? word("time.for_h_min", { h, m: m % 60 }) : word("time.for_h", { n: h });
    return h % 24 ? word("time.for_d_h", { d, h: h % 24 }) : word("time.for_d", { n: d });
  };

  const ageText = (node) => {
    const at = Number(node.dataset.at);
    return node.dataset.form === "for" ? QQ.lasting(at) : QQ.ago(at);
  };
  QQ.ages = (root) => {
    for (const node of root.querySelectorAll("[data-at]")) {
      const text = ageText(node);
      if (node.textContent !== text) node.textContent = text;
    }
  };

  const glyph = (state, size) =>
    `<svg class="glyph s-${state}" viewBox="0 0 24 24" width="${size}" height="${size}" aria-hidden="true">${settings.glyphs[state]}</svg>`;
  const isNarrow = () => window.innerWidth < 760;

  /* ---------- county page ---------- */
  const county = (QQ.county = {});
  const filter = { state: "", township: "", search: "" };
  let api = null;
  let marks = null;

  const number = (value, decimals, outside, stale) => {
    if (value === null || value === undefined) return `<span class="none">${word("column.none", {})}</span>`;
    const sign = outside < 0 ? "↓" : outside > 0 ? "↑" : "";
    return `<span class="num ${outside ? "out" : ""} ${stale ? "old" : ""}">${sign}${value.toFixed(decimals)}</span>`;
  };
  const age = (row) => {
    if (row.a === null) return `<span class="old">${escape(word("cell.never", {}))}</span>`;
    const text = escape(QQ.ago(row.a));
    return `<span class="${row.st ? "old" : ""}"><span data-at="${row.a}" data-form="ago">${text}</span></span>`;
  };

  county.cells = {
    state: (p) => `<span class="state s-${p.data.s}">${glyph(p.data.s, 18)}<span>${escape(settings.states[p.data.s])}</span></span>`,
    works: (p) => {
      const row = p.data;
      const link = `<a class="name" href="/works/${row.c}/${encodeURIComponent(row.id)}">${escape(row.n)}</a> <small class="id">${escape(row.id)}</small>`;
      if (!isNarrow()) return link;
      const detail = row.w ? `<span class="sevtext sev-${row.ws}">${escape(row.w)}</span>` : age(row);
      return `<span class="two">${link}<small>${escape(row.t)} · ${detail}</small></span>`;
    },
    residual: (p) => `${number(p.data.v, p.data.d, p.data.vo, p.data.st)}${p.data.v === null ? "" : ` <small class="unit">${escape(p.data.p)}</small>`}`,
    turbidity: (p) => number(p.data.u, 2, p.data.uo, p.data.st),
    age: (p) => age(p.data),
    lasting: (p) => (p.data.si ? `<span data-at="${p.data.si}" data-form="for">${escape(QQ.lasting(p.data.si))}</span>` : ""),
    worst: (p) => (p.data.w ? `<span class="sevtext sev-${p.data.ws}"><i></i>${escape(p.data.w)}</span>` : `<span class="none">${word("column.none", {})}</span>`),
    worse: (a, b, first, second) => first.data.r - second.data.r || first.data.si - second.data.si,
  };

  county.isFiltered = () => Boolean(filter.state || filter.township || filter.search);
  county.passes = (node) => fits(node.data);
  const fits = (row) =>
    (!filter.state || row.s === filter.state) &&
    (!filter.township || row.t === filter.township) &&
    (!filter.search || `${row.n} ${row.id} ${row.t}`.toLowerCase().includes(filter.search));

  county.rowHeight = () => (isNarrow() ? 54 : 36);
  county.open = (e) => {
    if (e.event.target.closest("a")) return;
    window.location.href = `/works/${e.data.c}/${encodeURIComponent(e.data.id)}`;
  };
  county.fit = (e) => {
    const width = e.clientWidth;
    const narrow = isNarrow();
    e.api.setColumnsVisible(["township"], !narrow && width > 700);
    e.api.setColumnsVisible(["lasting"], !narrow && width > 820);
    e.api.setColumnsVisible(["asof"], !narrow && width > 560);
    e.api.setColumnsVisible(["worst"], !narrow);
    e.api.setColumnsVisible(["turbidity"], !narrow);
    e.api.setColumnWidths([{ key: "state", newWidth: narrow ? 106 : document.documentElement.lang.startsWith("en") ? 126 : 112 }, { key: "residual", newWidth: narrow ? 96 : document.documentElement.lang.startsWith("en") ? 130 : 132 }, { key: "asof", newWidth: document.documentElement.lang.startsWith("en") ? 102 : 90 }]);
    if (county.wasNarrow !== narrow) {
      county.wasNarrow = narrow;
      e.api.resetRowHeights();
      e.api.refreshCells({ force: true, columns: ["works"] });
    }
  };
  county.counted = (e) => {
    const place = document.getElementById("shown");
    if (place) place.textContent = word("county.shown", { n: e.api.getDisplayedRowCount() });
  };
  county.painted = () => {
    performance.mark("county-list");
  };

  const applyFilter = () => {
    for (const tile of document.querySelectorAll(".tile")) tile.setAttribute("aria-pressed", tile.dataset.state === filter.state);
    api?.onFilterChanged();
    marks?.redraw();
    const kept = Object.entries(filter).filter(([, value]) => value);
    history.replaceState(null, "", kept.length ? `#${new URLSearchParams(kept)}` : location.pathname);
  };
  const restoreFilter = () => {
    for (const [key, value] of new URLSearchParams(location.hash.slice(1))) if (key in filter) filter[key] = value;
    document.getElementById("search").value = filter.search;
    document.getElementById("township").value = filter.township;
    if (county.isFiltered()) applyFilter();
  };

  county.start = (ids) => {
    const whenReady = () => {
      const grid = mounted(ids.grid);
      const map = ids.map && mounted(ids.map);
      if (!grid?.api || (ids.map && !map?.map)) return void setTimeout(whenReady, 20);
      api = grid.api;
      document.addEventListener("click", (e) => {
        const tile = e.target.closest(".tile");
        if (!tile) return;
        filter.state = filter.state === tile.dataset.state ? "" : tile.dataset.state;
        applyFilter();
      });
      document.getElementById("search").addEventListener("input", (e) => { filter.search = e.target.value.trim().toLowerCase(); applyFilter(); });
      document.getElementById("township").addEventListener("change", (e) => { filter.township = e.target.value; applyFilter(); });
      if (map) marks = drawMap(map.map, rows());
      restoreFilter();
      QQ.ages(document);
      performance.mark("county-ready");
    };
    whenReady();
  };

  const rows = () => {
    const all = [];
    api.forEachNode((node) => all.push(node.data));
    return all;
  };
  const setHtml = (id, content) => {
    const place = document.getElementById(id);
    if (place && place.innerHTML !== content) place.innerHTML = content;
  };

  county.change = (news) => {
    if (!api) return void setTimeout(() => county.change(news), 50);
    if (news.rows.length) {
      api.applyTransaction({ update: news.rows });
      marks?.update(news.rows);
    }
    for (const [state, n] of Object.entries(news.counts)) {
      const place = document.querySelector(`.tile[data-state="${state}"] b`);
      if (place && place.textContent !== String(n)) place.textContent = n;
      const part = document.querySelector(`.share .s-${state}`);
      if (part) part.style.flexGrow = n;
    }
    setHtml("headline", news.headline);
    setHtml("incidents", news.incidents);
    setHtml("incidents-total", String(news.total));
    setHtml("asof", escape(news.asof_text));
    const asof = document.getElementById("asof-age");
    if (asof && news.asof !== null) asof.dataset.at = news.asof;
    const lost = document.getElementById("lost");
    lost.hidden = !news.lost;
    lost.textContent = news.lost;
    document.body.classList.toggle("is-lost", Boolean(news.lost));
    QQ.ages(document);
  };

  /* ---------- map: one canvas, a shape per state ---------- */
  const LAYERS = ["ok", "idle", "not_equipped", "unknown", "high", "low", "missing"];
  const colour = (state) => getComputedStyle(document.documentElement).getPropertyValue(`--s-${state}`).trim();
  const PATHS = {
    ok: (c, r) => c.arc(0, 0, r * 0.72, 0, 7),
    low: (c, r) => { c.moveTo(-r, -r * 0.8); c.lineTo(r, -r * 0.8); c.lineTo(0, r); c.closePath(); },
    high: (c, r) => { c.moveTo(-r, r * 0.8); c.lineTo(r, r * 0.8); c.lineTo(0, -r); c.closePath(); },
    missing: (c, r) => { const k = r * 0.45; c.moveTo(-k, -r); c.lineTo(k, -r); c.lineTo(r, -k); c.lineTo(r, k); c.lineTo(k, r); c.lineTo(-k, r); c.lineTo(-r, k); c.lineTo(-r, -k); c.closePath(); },
    unknown: (c, r) => c.arc(0, 0, r * 0.8, 0, 7),
    not_equipped: (c, r) => c.rect(-r * 0.72, -r * 0.72, r * 1.44, r * 1.44),
    idle: (c, r) => { c.moveTo(0, -r); c.lineTo(r, 0); c.lineTo(0, r); c.lineTo(-r, 0); c.closePath(); },
  };
  const HOLLOW = new Set(["unknown", "not_equipped", "idle"]);

  const drawMap = (map, all) => {
    const L = window.L;
    const colours = Object.fromEntries(LAYERS.map((state) => [state, colour(state)]));
    const placed = new Map(all.filter((row) => row.la !== null && row.lo !== null).map((row) => [row.id, row]));
    const Layer = L.Layer.extend({
      onAdd(m) {
        this.canvas = L.DomUtil.create("canvas", "marks leaflet-zoom-hide", m.getPanes().overlayPane);
        m.on("moveend zoomend viewreset resize", this.redraw, this);
        this.redraw();
      },
      redraw() {
        const size = map.getSize(), ratio = window.devicePixelRatio || 1;
        L.DomUtil.setPosition(this.canvas, map.containerPointToLayerPoint([0, 0]));
        Object.assign(this.canvas, { width: size.x * ratio, height: size.y * ratio });
        Object.assign(this.canvas.style, { width: `${size.x}px`, height: `${size.y}px` });
        const c = this.canvas.getContext("2d");
        c.scale(ratio, ratio);
        const base = Math.max(3.4, Math.min(8, map.getZoom() - 5.4));
        for (const state of LAYERS) {
          const urgent = LAYERS.indexOf(state) > 3;
          for (const row of placed.values()) {
            if (row.s !== state) continue;
            const at = map.latLngToContainerPoint([row.la, row.lo]);
            if (at.x < -9 || at.y < -9 || at.x > size.x + 9 || at.y > size.y + 9) continue;
            c.save();
            c.globalAlpha = fits(row) ? 1 : 0.12;
            c.translate(at.x, at.y);
            c.beginPath();
            PATHS[state](c, base * (urgent ? 1.9 : 1.05));
            c.fillStyle = HOLLOW.has(state) ? "#fff" : colours[state];
            c.strokeStyle = HOLLOW.has(state) ? colours[state] : "#fff";
            c.lineWidth = HOLLOW.has(state) ? 1.4 : urgent ? 1.5 : 0.8;
            c.fill();
            c.stroke();
            c.restore();
          }
        }
      },
    });
    const bounds = L.latLngBounds([...placed.values()].map((row) => [row.la, row.lo]));
    map.invalidateSize();
    map.fitBounds(bounds, { padding: [22, 22], animate: false });
    map.setMaxBounds(bounds.pad(0.6));
    L.control.zoom({ position: "bottomright" }).addTo(map);
    L.control.scale({ imperial: false, position: "bottomleft" }).addTo(map);
    townships(map, placed.values());
    const layer = new Layer().addTo(map);
    pointer(map, layer, placed);
    new ResizeObserver(() => { map.invalidateSize(); layer.redraw(); }).observe(map.getContainer());
    return {
      redraw: () => layer.redraw(),
      update: (news) => { for (const row of news) if (placed.has(row.id)) placed.set(row.id, row); layer.redraw(); },
    };
  };

  const townships = (map, all) => {
    const L = window.L, groups = new Map();
    for (const row of all) {
      if (!groups.has(row.t)) groups.set(row.t, []);
      groups.get(row.t).push(row);
    }
    const names = [];
    for (const [name, members] of groups) {
      const middle = (key) => members.map((row) => row[key]).sort((a, b) => a - b)[members.length >> 1];
      const marker = L.marker([Math.max(...members.map((row) => row.la)), middle("lo")], {
        interactive: false, keyboard: false, pane: "tilePane", icon: L.divIcon({ className: "town", html: `<span>${escape(name)}</span>`, iconSize: null }),
      }).addTo(map);
      names.push({ count: members.length, span: marker.getElement().firstChild });
    }
    // Where two names would lie on each other, the township with more works keeps its own; zooming in makes room for both.
    names.sort((a, b) => b.count - a.count);
    const declutter = () => {
      const taken = [];
      for (const { span } of names) {
        span.style.visibility = "";
        const box = span.getBoundingClientRect();
        const hidden = taken.some((o) => box.left < o.right && o.left < box.right && box.top < o.bottom && o.top < box.bottom);
        if (hidden) span.style.visibility = "hidden"; else taken.push(box);
      }
    };
    map.on("zoomend", declutter);
    declutter();
  };

  const pointer = (map, layer, placed) => {
    const L = window.L, tip = L.tooltip({ direction: "top", offset: [0, -8], className: "works-tip" });
    const nearest = (point) => {
      let best = null, least = 14;
      for (const row of placed.values()) {
        if (!fits(row)) continue;
        const at = map.latLngToContainerPoint([row.la, row.lo]);
        const far = Math.hypot(at.x - point.x, at.y - point.y) - LAYERS.indexOf(row.s) * 0.5;
        if (far < least) { least = far; best = row; }
      }
      return best;
    };
    map.on("mousemove", (e) => {
      const row = nearest(e.containerPoint);
      map.getContainer().style.cursor = row ? "pointer" : "";
      if (!row) return void map.closeTooltip(tip);
      tip.setLatLng([row.la, row.lo]).setContent(`<b>${escape(row.n)}</b> ${escape(row.t)}<br>${escape(settings.states[row.s])}${row.w ? ` · ${escape(row.w)}` : ""}`);
      map.openTooltip(tip);
    });
    map.on("mouseout", () => map.closeTooltip(tip));
    map.on("click", (e) => {
      const row = nearest(e.containerPoint);
      if (row) window.location.href = `/works/${row.c}/${encodeURIComponent(row.id)}`;
    });
  };

  return QQ;
})();
