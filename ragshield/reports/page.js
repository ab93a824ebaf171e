"use strict";
// The page can be read without this; it folds, sorts, filters, zooms and links the map.
(() => {
  const root = document.documentElement, $ = (id) => document.getElementById(id);
  root.classList.add("js");
  const table = document.querySelector("table");
  const groups = [...document.querySelectorAll(".group")];
  const byNumber = new Map(groups.map((g) => [g.dataset.n, g]));
  const opener = (g) => g.querySelector(".open");

  const theme = $("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); });
  dark.addEventListener("change", label);
  label();

  const points = [...document.querySelectorAll("#map a")];
  const lightUp = (n) => points.forEach((p) => p.classList.toggle("lit", p.dataset.n === n));

  function open(group, wanted) {
    group.classList.toggle("opened", wanted);
    opener(group).setAttribute("aria-expanded", String(wanted));
  }
  function show(n, focus) {
    const group = byNumber.get(n);
    if (!group) return;
    group.hidden = false;
    open(group, true);
    group.scrollIntoView({ block: "start" });
    if (focus) opener(group).focus({ preventScroll: true });
    lightUp(n);
  }
  groups.forEach((group) => {
    open(group, false);
    group.querySelector(".head").addEventListener("click", (event) => {
      if (getSelection().isCollapsed || event.target.closest(".open")) open(group, !group.classList.contains("opened"));
    });
    group.addEventListener("mouseenter", () => lightUp(group.dataset.n));
    group.addEventListener("mouseleave", () => lightUp(""));
    group.addEventListener("focusin", () => lightUp(group.dataset.n));
  });

  const fold = $("fold"), shown = () => [...table.tBodies].filter((g) => !g.hidden);
  fold.hidden = groups.length < 2;
  fold.addEventListener("click", () => {
    const wanted = fold.textContent === "Open all";
    shown().forEach((g) => open(g, wanted));
    fold.textContent = wanted ? "Close all" : "Open all";
  });

  document.querySelectorAll("[data-sort]").forEach((button) => {
    button.addEventListener("click", () => {
      const key = button.dataset.sort, head = button.parentElement;
      const first = key === "n" ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      document.querySelectorAll("th[aria-sort]").forEach((th) => th.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const sorted = [...groups].sort((a, b) => sign * (a.dataset[key] - b.dataset[key]) || a.dataset.n - b.dataset.n);
      table.append(...sorted);
    });
  });

  const search = $("filter"), texts = new Map();
  const textOf = (g) => { if (!texts.has(g)) texts.set(g, g.textContent.toLowerCase()); return texts.get(g); };
  function filter() {
    const wanted = search.value.trim().toLowerCase();
    const levels = new Set([...document.querySelectorAll("[name=level]:checked")].map((box) => box.value));
    let n = 0;
    groups.forEach((g) => {
      g.hidden = !levels.has(g.dataset.level) || (wanted !== "" && !textOf(g).includes(wanted));
      n += !g.hidden;
    });
    points.forEach((p) => p.classList.toggle("off", byNumber.get(p.dataset.n).hidden));
    $("count").textContent = n === groups.length ? `${n} group${n === 1 ? "" : "s"}` : `${n} of ${groups.length} groups`;
  }
  search.addEventListener("input", filter);
  document.querySelectorAll("[name=level]").forEach((box) => box.addEventListener("change", filter));
  filter();

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const here = event.target;
    if (event.key === "/" && here.tagName !== "INPUT") { event.preventDefault(); search.focus(); return; }
    const group = here.closest && here.closest(".group");
    if (!group) return;
    if (event.key === "Escape") { open(group, false); opener(group).focus(); return; }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !here.classList.contains("open")) return;
    const all = shown(), next = all[all.indexOf(group) + step];
    if (next) { event.preventDefault(); opener(next).focus(); }
  });

  const map = $("map");
  if (map) {
    const readout = $("readout"), idle = readout.textContent;
    const whole = map.viewBox.baseVal, all = { x: whole.x, y: whole.y, w: whole.width, h: whole.height };
    let view = { ...all };
    const tell = (p) => { readout.textContent = p ? p.getAttribute("aria-label") : idle; };
    points.forEach((p) => {
      p.addEventListener("mouseenter", () => tell(p));
      p.addEventListener("mouseleave", () => tell(null));
      p.addEventListener("focus", () => tell(p));
      p.addEventListener("click", (event) => { event.preventDefault(); show(p.dataset.n, true); });
    });
    if (points.length) points[points.length - 1].setAttribute("tabindex", "0");
    map.addEventListener("keydown", (event) => {
      const step = { ArrowRight: -1, ArrowDown: -1, ArrowLeft: 1, ArrowUp: 1 }[event.key];
      const here = points.indexOf(document.activeElement);
      if (here < 0 || !step) return;
      event.preventDefault();
      for (let i = here + step; i >= 0 && i < points.length; i += step) {
        if (points[i].classList.contains("off")) continue;
        points[here].setAttribute("tabindex", "-1");
        points[i].setAttribute("tabindex", "0");
        points[i].focus();
        return;
      }
    });
    const draw = () => {
      map.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
      map.classList.toggle("zoomed", view.w < all.w);
    };
    const clamp = () => {
      view.x = Math.min(Math.max(view.x, all.x), all.x + all.w - view.w);
      view.y = Math.min(Math.max(view.y, all.y), all.y + all.h - view.h);
    };
    function zoom(by, cx = 0.5, cy = 0.5) {
      const w = Math.min(all.w, Math.max(all.w / 40, view.w / by)), h = w * all.h / all.w;
      view = { x: view.x + (view.w - w) * cx, y: view.y + (view.h - h) * cy, w, h };
      clamp();
      draw();
    }
    document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
      if (button.dataset.zoom === "all") { view = { ...all }; draw(); } else zoom(button.dataset.zoom === "in" ? 1.6 : 1 / 1.6);
    }));
    map.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && view.w === all.w) return; // leave the page its wheel until zoomed in
      event.preventDefault();
      const box = map.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 300), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    }, { passive: false });
    let from = null;
    map.addEventListener("pointerdown", (event) => { from = { x: event.clientX, y: event.clientY, view: { ...view } }; });
    addEventListener("pointermove", (event) => {
      if (!from || view.w === all.w) return;
      const scale = view.w / map.getBoundingClientRect().width;
      view.x = from.view.x - (event.clientX - from.x) * scale;
      view.y = from.view.y - (event.clientY - from.y) * scale;
      clamp();
      draw();
    });
    addEventListener("pointerup", () => { from = null; });
  }

  const jump = () => { const found = /^#g(\d+)$/.exec(location.hash); if (found) show(found[1], true); };
  addEventListener("hashchange", jump);
  jump();
})();
