"use strict";
(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const make = (tag, text, attributes) => {
    const one = document.createElement(tag);
    if (text !== undefined) one.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) one.setAttribute(key, value);
    return one;
  };

  // Tables: a button in each heading sorts, a field and a list choose rows.
  const key = cell => {
    const text = cell.dataset.order ?? cell.textContent.trim();
    const number = Number(text);
    return text === "" ? null : Number.isNaN(number) ? text : number;
  };
  const before = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", {numeric: true});
  };
  for (const table of document.querySelectorAll("table.data")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = make("button", head.textContent, {type: "button"});
      if (!head.textContent) return;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("number");
        const now = head.getAttribute("aria-sort");
        const next = now ? (now === "ascending" ? "descending" : "ascending")
          : numeric && !head.hasAttribute("data-up") ? "descending" : "ascending";
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const rows = [...body.rows].map(row => [key(row.cells[column]), row]);
        // What has no value stays last, whichever way.
        rows.sort(([a], [b]) => a === null || b === null ? before(a, b) : sign * before(a, b));
        body.append(...rows.map(([, row]) => row));
      });
    });
    const tools = document.querySelector(`.tools[data-for="${table.id}"]`);
    const field = tools.querySelector("[data-filter]");
    const list = tools.querySelector("[data-groups]");
    if (!field && !list) continue;
    tools.hidden = false;
    const count = tools.querySelector(".count");
    const choose = () => {
      const words = field ? field.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
      const group = list ? list.value : "";
      let shown = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        const fits = (!group || row.dataset.group === group) && words.every(w => text.includes(w));
        row.hidden = !fits;
        shown += fits;
      }
      count.textContent = `${shown} of ${body.rows.length} rows`;
    };
    if (field) field.addEventListener("input", choose);
    if (list) list.addEventListener("change", choose);
    choose();
  }

  // Folded parts are opened on paper.
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
  });

  // Two models side by side.
  const pair = document.getElementById("pair");
  if (!pair) return;
  pair.hidden = false;
  const result = read("result"), data = read("page-data");
  const sides = [...pair.querySelectorAll("[data-side]")];
  const room = pair.querySelector("[data-shown]");
  const names = data.names;
  const digits = value => value === null || value === undefined ? "none" : value.toFixed(3);
  const scores = new Map();
  for (const target of result.targets || []) {
    for (const source of target.sources) scores.set(source.name + "\n" + target.name, source);
  }
  const interval = score => `${digits(score.value)} (${score.low.toFixed(2)} to ${score.high.toFixed(2)})`;
  const lines = (one, other) => {
    if (data.says) return data.says[`${Math.min(one, other)} ${Math.max(one, other)}`] || [];
    const found = [];
    for (const measure of data.measures) {
      const says = (source, target) => {
        const row = scores.get(names[source] + "\n" + names[target]);
        const score = row && row.measures[measure.name];
        return score ? interval(score) : digits(measure.matrix[source][target]);
      };
      if (measure.directed) {
        for (const [source, target] of [[one, other], [other, one]]) {
          // Where one target was asked for, the others were not computed.
          if (measure.matrix[source][target] === null) continue;
          const what = `${measure.name}, ${names[source]} as a source for ${names[target]}`;
          found.push([what, says(source, target)]);
        }
      } else {
        const row = scores.get(names[one] + "\n" + names[other]);
        found.push([measure.name, row ? says(one, other) : says(other, one)]);
      }
    }
    return found;
  };
  const picture = (model, column) => {
    const rows = document.querySelectorAll("#gallery-maps tbody tr");
    const row = rows[data.gallery.indexOf(model)];
    const image = row && row.cells[column + 1].querySelector("img");
    return image ? image.cloneNode(true) : make("span", "not shown");
  };
  const probe = column => {
    const image = document.querySelectorAll("#gallery-maps thead th")[column + 1]?.querySelector("img");
    return image ? image.cloneNode(true) : null;
  };
  const show = () => {
    const [one, other] = sides.map(list => Number(list.value));
    const facts = make("dl", undefined, {class: "facts"});
    for (const [what, which] of lines(one, other)) {
      const line = make("div");
      line.append(make("dt", what), make("dd", which));
      facts.append(line);
    }
    const parts = [make("h4", `${names[one]} and ${names[other]}`), facts];
    if (data.probes.length) {
      const table = make("table"), head = make("tr"), body = make("tbody");
      const cosines = data.cosines[Math.max(one, other)]?.[Math.min(one, other)];
      const titles = ["probe", names[one], names[other], ...(cosines ? ["cosine"] : [])];
      for (const title of titles) head.append(make("th", title, {scope: "col", title}));
      table.append(make("thead"), body);
      table.tHead.append(head);
      data.probes.forEach((name, column) => {
        const row = make("tr"), first = make("th", undefined, {scope: "row", title: name});
        first.append(probe(column) || name);
        row.append(first);
        for (const model of [one, other]) {
          const cell = make("td");
          cell.append(picture(model, column));
          row.append(cell);
        }
        if (cosines) row.append(make("td", digits(cosines[column])));
        body.append(row);
      });
      const scroll = make("div", undefined, {class: "scroll", tabindex: "0"});
      scroll.append(table);
      parts.push(scroll);
    }
    room.replaceChildren(...parts);
    for (const heat of document.querySelectorAll("table.heat")) {
      const places = heat.dataset.places.split(" ").map(Number);
      for (const cell of heat.querySelectorAll("[aria-selected]")) cell.removeAttribute("aria-selected");
      const row = heat.tBodies[0].rows[places.indexOf(one)];
      row?.cells[places.indexOf(other) + 1]?.setAttribute("aria-selected", "true");
    }
  };
  const choose = (one, other) => {
    sides[0].value = String(one);
    sides[1].value = String(other);
    show();
  };
  sides.forEach(list => list.addEventListener("change", show));
  for (const link of document.querySelectorAll("[data-pair]")) {
    link.addEventListener("click", () => choose(...link.dataset.pair.split(" ").map(Number)));
  }

  // A heat map is one stop of the Tab key; arrows move within it.
  for (const heat of document.querySelectorAll("table.heat")) {
    heat.setAttribute("role", "grid");
    const places = heat.dataset.places.split(" ").map(Number);
    const rows = [...heat.tBodies[0].rows].map(row => [...row.cells].slice(1));
    const where = cell => [cell.parentNode.sectionRowIndex, cell.cellIndex - 1];
    rows.flat().forEach(cell => { cell.tabIndex = -1; });
    if (!rows.length) continue;
    rows[0][0].tabIndex = 0;
    const take = cell => {
      const [row, column] = where(cell);
      choose(places[row], places[column]);
    };
    const label = cell => {
      const [row, column] = where(cell);
      return `${names[places[row]]}, ${names[places[column]]}: ${cell.textContent}`;
    };
    const enter = cell => {
      for (const other of heat.querySelectorAll('td[tabindex="0"]')) other.tabIndex = -1;
      cell.tabIndex = 0;
      cell.title = label(cell);
      cell.setAttribute("aria-label", label(cell));
    };
    heat.addEventListener("pointerover", event => {
      const cell = event.target.closest("td");
      if (cell) cell.title = label(cell);
    });
    heat.addEventListener("focusin", event => {
      if (event.target.tagName === "TD") enter(event.target);
    });
    heat.addEventListener("click", event => {
      const cell = event.target.closest("td");
      if (!cell) return;
      cell.focus();
      take(cell);
    });
    heat.addEventListener("keydown", event => {
      const cell = event.target.closest("td");
      if (!cell) return;
      const last = rows.length - 1;
      let [row, column] = where(cell);
      const moves = {
        ArrowUp: () => row--, ArrowDown: () => row++, ArrowLeft: () => column--,
        ArrowRight: () => column++, Home: () => { column = 0; }, End: () => { column = last; },
      };
      if (event.key === "Enter" || event.key === " ") take(cell);
      else if (moves[event.key]) moves[event.key]();
      else return;
      event.preventDefault();
      rows[Math.min(Math.max(row, 0), last)][Math.min(Math.max(column, 0), last)].focus();
    });
  }
  choose(...pair.dataset.first.split(" ").map(Number));
})();
