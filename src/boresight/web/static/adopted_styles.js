// Chart libraries put their styles into <style> elements, which a content policy without 'unsafe-inline' forbids. This
// gives them an element of another name that does the same with a constructed style sheet. Such a sheet comes from our
// scripts alone, never from markup that somebody has smuggled in, and is allowed. Loaded before the library.
"use strict";
(() => {
  class AdoptedStyle extends HTMLElement {
    #sheet = new CSSStyleSheet();
    #text = "";
    #root = null;

    get textContent() { return this.#text; }

    set textContent(css) {
      this.#text = css;
      this.#sheet.replaceSync(css);
    }

    connectedCallback() {
      this.style.display = "none";
      this.#root = this.getRootNode();
      this.#root.adoptedStyleSheets = [...this.#root.adoptedStyleSheets, this.#sheet];
    }

    disconnectedCallback() {
      this.#root.adoptedStyleSheets = this.#root.adoptedStyleSheets.filter((sheet) => sheet !== this.#sheet);
    }
  }

  customElements.define("adopted-style", AdoptedStyle);
  const create = document.createElement.bind(document);
  document.createElement = (name, options) => create(name === "style" ? "adopted-style" : name, options);
})();
