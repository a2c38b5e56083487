// Who is covered: the line that says who is shown by policy, and the panel that decides it.

const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/** Whom a stream's policy lets be seen, in words; "" where everyone is covered. */
function shownBy(cover, members) {
  if (cover === "everyone") return "";
  if (typeof cover === "string") return "Some people are shown by policy.";
  const names = cover.except ?? members.filter((name) => !cover.only.includes(name));
  return names.length ? `${list(names)} ${names.length === 1 ? "is" : "are"} shown by policy.` : "";
}

export class Policy {
  #stream = null;
  #members = [];
  #besides = [];

  /** `onChange` gets what the panel's reader wants changed: `{cover, fancams}`, and `{classes, heads}` where models find more than faces. */
  constructor(line, panel, button, onChange) {
    Object.assign(this, { line, panel, button });
    button.addEventListener("click", () => (panel.hidden ? this.#open() : this.close()));
    panel.addEventListener("change", () => this.#enable());
    panel.addEventListener("submit", (event) => {
      event.preventDefault();
      onChange(this.#wanted());
      this.close();
    });
  }

  /** What the server says of the chosen stream, of whom its models know by name, and of what they find besides faces. */
  show(stream, members, besides) {
    [this.#stream, this.#members, this.#besides] = [stream ?? null, members, besides];
    this.button.disabled = !stream;
    this.line.textContent = stream ? shownBy(stream.cover, members) : "";
    this.line.hidden = !this.line.textContent;
    if (!stream) this.close();
  }

  close() {
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
  }

  #open() {
    const { cover, fancams, classes, heads } = this.#stream;
    const kind = typeof cover === "string" ? "everyone" : Object.keys(cover)[0];
    const { elements } = this.panel;
    elements.cover.value = kind;
    elements.fancams.checked = fancams === "cover others";
    for (const radio of elements.cover) radio.disabled = !this.#members.length && radio.value !== "everyone";
    this.panel.querySelector(".members").replaceChildren(...this.#members.map((name) => tick(name, cover[kind])));
    this.panel.querySelector(".besides").hidden = !this.#besides.length;
    this.panel.querySelector(".classes").replaceChildren(...this.#besides.map((name) => tick(name, classes)));
    Object.assign(elements.heads, { checked: heads, disabled: !this.#besides.includes("person") });
    this.panel.querySelector(".nobody").hidden = this.#members.length > 0;
    this.#enable();
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
  }

  /** Members are named only where everyone is not covered. */
  #enable() {
    const { cover } = this.panel.elements;
    for (const box of this.panel.querySelectorAll(".members input")) box.disabled = cover.value === "everyone";
  }

  #wanted() {
    const { elements } = this.panel;
    const ticked = (part) => [...this.panel.querySelectorAll(`${part} input:checked`)].map((box) => box.value);
    const names = ticked(".members");
    const kind = elements.cover.value;
    return {
      cover: kind === "everyone" || !names.length ? "everyone" : { [kind]: names },
      fancams: elements.fancams.checked ? "cover others" : "show all",
      ...(this.#besides.length && { classes: ticked(".classes"), heads: elements.heads.checked }),
    };
  }
}

function tick(name, ticked) {
  const label = document.createElement("label");
  const box = Object.assign(document.createElement("input"), { type: "checkbox", value: name });
  box.checked = ticked?.includes(name) ?? false;
  label.append(box, ` ${name}`);
  return label;
}
