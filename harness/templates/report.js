// The filter. Its state stands in the fragment of the address, so that a view can be linked and the way back works:
// #verdict=fail,advise&protocol=5.0&chapter=will&clause=3.1.2&text=delay
(() => {
  "use strict";
  const form = document.getElementById("filter");
  const output = form.querySelector("output");
  const fields = ["protocol", "chapter", "clause", "text"];
  const says = (element) => element.querySelector(".says").textContent.toLowerCase();
  const findings = [...document.querySelectorAll(".finding")].map((element) => ({ element, text: says(element) }));
  const cases = [...document.querySelectorAll(".case")].map((element) => ({
    element,
    text: says(element),
    runs: [...element.querySelectorAll("[data-verdict]")],
  }));
  const sections = [...document.querySelectorAll(".cases > section")];

  const read = () => {
    const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
    const verdicts = (state.get("verdict") ?? "").split(",");
    for (const box of form.querySelectorAll("[name=verdict]")) box.checked = verdicts.includes(box.value);
    for (const field of fields) form.elements[field].value = state.get(field) ?? "";
  };

  const write = () => {
    const state = new URLSearchParams();
    const verdicts = new FormData(form).getAll("verdict");
    if (verdicts.length > 0) state.set("verdict", verdicts.join(","));
    for (const field of fields) {
      const value = form.elements[field].value.trim();
      if (value !== "") state.set(field, value);
    }
    const fragment = state.toString();
    history.replaceState(null, "", fragment === "" ? location.pathname + location.search : "#" + fragment);
  };

  const apply = () => {
    const verdicts = new FormData(form).getAll("verdict");
    const [protocol, chapter, clause, text] = fields.map((field) => form.elements[field].value.trim().toLowerCase());
    const chosen = ({ dataset }) =>
      (verdicts.length === 0 || verdicts.includes(dataset.verdict)) && (protocol === "" || dataset.protocol === protocol);
    const about = ({ element, text: words }) =>
      (chapter === "" || element.dataset.chapter === chapter) &&
      element.dataset.clauses.toLowerCase().includes(clause) &&
      words.includes(text);
    for (const finding of findings) finding.element.hidden = !(chosen(finding.element) && about(finding));
    const counts = new Map();
    let [shown, all] = [0, 0];
    for (const each of cases) {
      const fits = about(each);
      let some = false;
      for (const run of each.runs) {
        const on = fits && chosen(run);
        run.classList.toggle("off", fits && !on);
        some ||= on;
        shown += on;
        if (on) counts.set(run.dataset.verdict, (counts.get(run.dataset.verdict) ?? 0) + 1);
        all += 1;
      }
      each.element.hidden = !some;
    }
    for (const section of sections) section.hidden = section.querySelector(".case:not([hidden])") === null;
    // The head counts what is shown.
    for (const number of document.querySelectorAll("[data-count]")) number.textContent = counts.get(number.dataset.count) ?? 0;
    for (const part of document.querySelectorAll("[data-part]")) {
      part.style.flexGrow = counts.get(part.dataset.part) ?? 0;
      part.hidden = !counts.has(part.dataset.part);
    }
    output.textContent = shown === all ? `${all} runs` : `${shown} of ${all} runs`;
  };

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { write(); apply(); });
  form.addEventListener("reset", () => setTimeout(() => { write(); apply(); }));
  addEventListener("hashchange", () => { if (location.hash.includes("=") || location.hash === "") { read(); apply(); } });
  for (const link of document.querySelectorAll("[data-set]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      location.hash = link.dataset.set;
      form.scrollIntoView({ behavior: "smooth" });
    });
  }
  for (const line of navigator.clipboard ? document.querySelectorAll(".repeat") : []) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(line.querySelector("code").textContent);
      button.textContent = "copied";
    });
    line.append(button);
  }
  read();
  apply();
  // Whoever follows a link to a view wants to see it.
  if (location.hash.includes("=")) form.scrollIntoView();
})();
