(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);

  document.documentElement.classList.add("js");
  all(".unfold").forEach((button) => button.addEventListener("click", () => {
    all("tr.folded", button.parentElement).forEach((row) => row.classList.remove("folded"));
    button.remove();
  }));

  // Tables: press a column's head to sort, again to turn round.
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, column) => head.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const order = (a, b) => (isNaN(value(a)) ? value(b).localeCompare(value(a), undefined, { numeric: true }) : value(b) - value(a));
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => (down ? order(a, b) : order(b, a))));
    }));
  }

  // The menu shows the section that is being read.
  const links = new Map(all(".menu a").map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    links.forEach((link) => link.classList.remove("here"));
    links.get(entry.target.id)?.classList.add("here");
  }), { rootMargin: "-20% 0px -70% 0px" });
  links.forEach((_, id) => watch.observe(one(id)));

  const list = one("shots");
  if (!list) return;
  const shots = all("li", list);
  const viewer = one("viewer"), stage = one("stage");
  let current = null;

  // Layers over the images.
  const show = (layer, on) => {
    document.body.classList.toggle("no-" + layer, !on);
    all(`.toggle[data-layer="${layer}"]`).forEach((button) => button.setAttribute("aria-pressed", on));
  };
  const flip = (layer) => show(layer, document.body.classList.contains("no-" + layer));
  all(".toggle").forEach((button) => button.addEventListener("click", () => flip(button.dataset.layer)));
  show("heat", false);

  // Which pictures are shown, and in which order.
  const patients = [...new Set(shots.map((shot) => shot.dataset.patient))];
  one("who").append(...patients.map((name) => new Option(name, name)));
  const fits = {
    all: () => true,
    lesion: (data) => data.normal === "0",
    missed: (data) => data.dice !== "" && Number(data.dice) < 0.1,
    normal: (data) => data.normal === "1",
    false: (data) => data.normal === "1" && Number(data.marks) > 0,
  };
  const shown = () => all("li:not([hidden])", list);
  const arrange = () => {
    const key = one("order").value.replace("-", ""), sign = one("order").value.startsWith("-") ? -1 : 1;
    const value = (shot) => (shot.dataset[key] === "" || (key !== "rank" && shot.dataset.normal === "1") ? NaN : Number(shot.dataset[key]));
    const order = (a, b) => isNaN(value(a)) - isNaN(value(b)) || sign * (value(a) - value(b)) || a.dataset.rank - b.dataset.rank;
    list.append(...[...shots].sort(order));
    for (const shot of shots) {
      shot.hidden = !fits[one("filter").value](shot.dataset) || (one("who").value !== "" && one("who").value !== shot.dataset.patient);
    }
    const count = shown().length;
    one("shown").textContent = count === shots.length ? `${count} pictures` : `${count} of ${shots.length} pictures`;
    one("nothing").hidden = count > 0;
  };
  ["filter", "who", "order"].forEach((id) => one(id).addEventListener("change", arrange));
  arrange();

  // One picture enlarged.
  const open = (shot) => {
    current = shot;
    stage.replaceChildren(shot.querySelector("svg").cloneNode(true));
    one("facts").replaceChildren(shot.querySelector("template").content.cloneNode(true));
    const places = shown();
    one("place").textContent = `${places.indexOf(shot) + 1} of ${places.length}`;
    if (!viewer.open) viewer.showModal();
  };
  const step = (by) => {
    const places = shown();
    open(places[(places.indexOf(current) + by + places.length) % places.length]);
  };
  shots.forEach((shot) => shot.querySelector("button").addEventListener("click", () => open(shot)));
  one("previous").addEventListener("click", () => step(-1));
  one("next").addEventListener("click", () => step(1));
  one("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("close", () => current?.querySelector("button").focus());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input")) return;
    const layer = { r: "truth", m: "marked", p: "heat" }[event.key.toLowerCase()];
    if (layer) flip(layer);
    if (!viewer.open) return;
    if (event.key === "ArrowRight" || event.key === "ArrowDown") { event.preventDefault(); step(1); }
    if (event.key === "ArrowLeft" || event.key === "ArrowUp") { event.preventDefault(); step(-1); }
  });

  // A dot of the strip leads to the patient's pictures.
  for (const dot of all("circle.patient")) {
    const name = dot.dataset.patient;
    if (!patients.includes(name)) continue;
    const choose = () => {
      one("filter").value = "all";
      one("who").value = name;
      arrange();
      one("gallery").scrollIntoView();
    };
    dot.classList.add("link");
    dot.setAttribute("tabindex", "0");
    dot.setAttribute("role", "button");
    dot.setAttribute("aria-label", dot.textContent);
    dot.addEventListener("click", choose);
    dot.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); } });
  }
})();
